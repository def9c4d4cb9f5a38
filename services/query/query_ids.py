"""Query ids: unique across query services and restarts, handed out without asking anybody.

The store gives out blocks of ids (see Store.take_query_ids). A service counts within its block and is given the next
one long before the block ends.
"""

# A quarter of a block of 2^32 lasts for a day at ten thousand predictions a second.
_RUNNING_LOW = 1 << 30


class QueryIds:
    """A counter within blocks of ids. One thread takes ids at a time."""

    def __init__(self, block: range) -> None:
        self._next = block.start
        self._stop = block.stop
        self._reserve: range | None = None

    def take(self, count: int) -> int:
        """Returns the first of `count` successive ids."""
        if self._next + count > self._stop and self._reserve is not None:
            self._next, self._stop, self._reserve = self._reserve.start, self._reserve.stop, None
        first = self._next
        self._next += count
        return first

    @property
    def running_low(self) -> bool:
        """Whether a further block is wanted."""
        return self._reserve is None and self._stop - self._next < _RUNNING_LOW

    def reserve(self, block: range) -> None:
        """Keeps a block for when the present one ends."""
        self._reserve = block
