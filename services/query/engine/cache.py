"""Predictions already made, and those on their way.

A key is the version and the whole input, so a hit is never a collision. Versions are identified by a number that is
never used again: deleting a version makes its entries unreachable at once, and they leave like any that is not used.
"""

from collections import OrderedDict

from services.query.engine.requests import Task

CacheKey = tuple[int, bytes]

# What CPython needs for an entry besides the input's and the output's own bytes: the key tuple, the headers of bytes
# and str, and a slot in the ordered dictionary.
_ENTRY_BYTES = 280


class PredictionCache:
    """Outputs of models, least recently used first out, bounded in bytes; and single flight for what is being computed.

    A capacity of 0 turns both off: every query is a task of its own.
    """

    __slots__ = ("_capacity_bytes", "_flights", "_outputs", "_size_bytes", "hits", "lookups")

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity_bytes = capacity_bytes
        self._size_bytes = 0
        self._outputs: OrderedDict[CacheKey, str] = OrderedDict()
        self._flights: dict[CacheKey, Task] = {}
        self.lookups = 0
        self.hits = 0

    @property
    def enabled(self) -> bool:
        """Whether there is a cache at all."""
        return self._capacity_bytes > 0

    @property
    def size_bytes(self) -> int:
        """What the kept predictions take, keys and bookkeeping included."""
        return self._size_bytes

    def output(self, key: CacheKey) -> str | None:
        """The output for `key`, if it is known; counts as a use."""
        self.lookups += 1
        output = self._outputs.get(key)
        if output is not None:
            self.hits += 1
            self._outputs.move_to_end(key)
        return output

    def flight(self, key: CacheKey) -> Task | None:
        """The task that is computing `key`, if there is one."""
        return self._flights.get(key)

    def take_off(self, key: CacheKey, task: Task) -> None:
        """Lets later queries for `key` join `task`."""
        self._flights[key] = task

    def land(self, key: CacheKey, output: str | None) -> None:
        """Ends the flight of `key` and keeps its output; None when there is none to keep."""
        self._flights.pop(key, None)
        if output is None:
            return
        size = _entry_bytes(key, output)
        if size > self._capacity_bytes:
            return
        replaced = self._outputs.pop(key, None)
        if replaced is not None:
            self._size_bytes -= _entry_bytes(key, replaced)
        self._outputs[key] = output
        self._size_bytes += size
        while self._size_bytes > self._capacity_bytes:
            self._size_bytes -= _entry_bytes(*self._outputs.popitem(last=False))


def _entry_bytes(key: CacheKey, output: str) -> int:
    return _ENTRY_BYTES + len(key[1]) + len(output)
