"""Query ids: unique across query services and restarts, handed out without asking anybody.

The store gives out blocks of ids (see Store.take_query_ids). A service counts within its block and is given the next
one long before the block ends. Blocks grow with what is used: a service has some times as many ids left as it has used
of late, for when the store is away, and takes no more of the others' than that.
"""

FIRST_BLOCK = 1 << 20
_GROWTH = 4
# Half an hour's at forty thousand predictions a second.
_LARGEST_BLOCK = 1 << 26


class QueryIds:
    """A counter within blocks of ids. One thread takes ids at a time."""

    def __init__(self, block: range) -> None:
        self._block = block
        self._next = block.start
        self._reserve: range | None = None

    def take(self, count: int) -> int:
        """Returns the first of `count` successive ids."""
        if self._next + count > self._block.stop and self._reserve is not None:
            self._block, self._reserve = self._reserve, None
            self._next = self._block.start
        first = self._next
        self._next += count
        return first

    @property
    def wanted(self) -> int:
        """How many ids a further block should have; 0: none is wanted yet."""
        used = self._next - self._block.start
        if self._reserve is not None or used * _GROWTH < len(self._block):
            return 0
        return min(_GROWTH * len(self._block), _LARGEST_BLOCK)

    def reserve(self, block: range) -> None:
        """Keeps a block for when the present one ends."""
        self._reserve = block
