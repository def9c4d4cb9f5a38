"""Query ids: unique across query services and restarts, handed out without asking anybody.

The store gives out blocks of ids (see Store.take_query_ids). A service counts within its block and has the next one in
reserve, for when the store is away. That is some times as large, so that who uses many ids has many left, and who does
not takes few. If the store is away for even longer, a service counts on, and its ids may then be another's, too.
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
        """How many ids a further block should have; 0: none is wanted now."""
        return 0 if self._reserve is not None else min(_GROWTH * len(self._block), _LARGEST_BLOCK)

    def reserve(self, block: range) -> None:
        """Keeps a block for when the present one ends."""
        self._reserve = block
