"""Predictions already made, and those on their way.

A key is the version and the whole input, so a hit is never a collision. Versions are identified by a number that is
never used again.

A full cache gives up what docs/decisions/0008-cache-eviction.md found best, SIEVE with a nursery: a hand goes round the
entries and takes the first that was not used since it was last there, but leaves the youngest fifth alone. A hit only
marks its entry. Everything takes constant time, amortised where a table grows or shrinks.
"""

import math
import sys
from collections import deque

from services.query.engine.requests import Task

CacheKey = tuple[int, bytes]

_NURSERY = 0.2
# In a row; a landing is to be short even when every entry was used.
_MOST_CHANCES = 64
_SWEPT_AT_ONCE = 16

# The allocator rounds up to 16 bytes.
_ROUNDING = 15


class _Entry:
    """A prediction; `output` is None once its version was forgotten, until the hand finds what is left of it."""

    __slots__ = ("input", "landed_s", "number", "output", "used")

    def __init__(self, key: CacheKey, output: str, landed_s: float) -> None:
        self.number, self.input = key
        self.output: str | None = output
        self.landed_s = landed_s
        self.used = False


# The entry itself, its time, its place in a queue.
_ENTRY_BYTES = sys.getsizeof(_Entry((0, b""), "", 0.0)) + sys.getsizeof(0.0) + 2 * _ROUNDING + 10
# Its input and output without their characters.
_HEADER_BYTES = sys.getsizeof(b"") + sys.getsizeof("") + 2 * _ROUNDING
# A dictionary's table has at most six places of 4 bytes for each entry that it was made for, and four of 24.
_SLOT_BYTES = 6 * 4 + 4 * 24
# A character takes at most 4 bytes, and 4 in the UTF-8 that CPython keeps with a string once it was sent.
_CHARACTER_BYTES = 8
_WIDE_HEADER_BYTES = 32


class _Shelf:
    """The predictions of one version; `vacant` is how many more its table was already counted for."""

    __slots__ = ("entries", "vacant")

    def __init__(self) -> None:
        self.entries: dict[bytes, _Entry] = {}
        self.vacant = 0


class PredictionCache:
    """Outputs of models, bounded in bytes; and single flight for what is being computed.

    A capacity of 0 turns both off: every query is a task of its own. All is counted as the most that CPython may need
    for it, except tasks on their way, which belong to the queues, and some hundred bytes for each version.

    Attributes:
        lookups, hits: how often an output was looked for, and found.
        size_bytes: what the kept predictions take, keys and bookkeeping included.
    """

    __slots__ = (
        "_ahead",
        "_capacity_bytes",
        "_flights",
        "_forgotten",
        "_passed",
        "_shelves",
        "_young",
        "hits",
        "lookups",
        "size_bytes",
    )

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity_bytes = capacity_bytes
        self._flights: dict[CacheKey, Task] = {}
        self._shelves: dict[int, _Shelf] = {}
        self._forgotten: list[_Shelf] = []
        # Every entry is in one of these, oldest first: not seen by the hand yet; before it in this round; behind it.
        self._young: deque[_Entry] = deque()
        self._ahead: deque[_Entry] = deque()
        self._passed: deque[_Entry] = deque()
        self.size_bytes = 0
        self.lookups = 0
        self.hits = 0

    @property
    def enabled(self) -> bool:
        """Whether there is a cache at all."""
        return self._capacity_bytes > 0

    def output(self, key: CacheKey, not_before_s: float = -math.inf) -> str | None:
        """The output for `key`, if it is known and landed at `not_before_s` or later; counts as a use."""
        self.lookups += 1
        number, data = key
        shelf = self._shelves.get(number)
        entry = shelf.entries.get(data) if shelf is not None else None
        if entry is None or entry.landed_s < not_before_s:
            return None
        self.hits += 1
        entry.used = True
        return entry.output

    def flight(self, key: CacheKey) -> Task | None:
        """The task that is computing `key`, if there is one."""
        return self._flights.get(key)

    def take_off(self, key: CacheKey, task: Task) -> None:
        """Lets later queries for `key` join `task`."""
        self._flights[key] = task
        if key[0] not in self._shelves:
            self._shelves[key[0]] = _Shelf()

    def abandon(self, key: CacheKey) -> None:
        """Ends the flight of `key` without an output."""
        self._flights.pop(key, None)

    def land(self, key: CacheKey, output: str, now_s: float) -> None:
        """Ends the flight of `key` and keeps its output, unless the version was forgotten meanwhile."""
        self._flights.pop(key, None)
        if self._forgotten:
            self._sweep()
        shelf = self._shelves.get(key[0])
        if shelf is None:
            return
        entry = shelf.entries.get(key[1])
        if entry is not None:
            self._replace(entry, output, now_s)
        else:
            self._add(shelf, _Entry(key, output, now_s))

    def forget(self, number: int) -> None:
        """Drops the predictions of a version that will not be asked again; their room is used before any other's.

        What is on its way for it will not be kept.
        """
        shelf = self._shelves.pop(number, None)
        if shelf is not None:
            self._forgotten.append(shelf)

    def _add(self, shelf: _Shelf, entry: _Entry) -> None:
        size = _ENTRY_BYTES + _content_bytes(entry)
        if size + _SLOT_BYTES > self._capacity_bytes:
            return
        self._make_room(size + _SLOT_BYTES)
        if shelf.vacant:
            shelf.vacant -= 1
        else:
            size += _SLOT_BYTES
        self.size_bytes += size
        shelf.entries[entry.input] = entry
        self._young.append(entry)

    def _replace(self, entry: _Entry, output: str, now_s: float) -> None:
        self.size_bytes -= _content_bytes(entry)
        entry.output = output
        entry.landed_s = now_s
        self.size_bytes += _content_bytes(entry)
        self._make_room(0)

    def _make_room(self, size: int) -> None:
        while self.size_bytes + size > self._capacity_bytes:
            if self._forgotten:
                self._sweep()
            else:
                self._evict()

    def _sweep(self) -> None:
        """Empties some entries of a forgotten version."""
        shelf = self._forgotten[-1]
        for _ in range(min(_SWEPT_AT_ONCE, len(shelf.entries))):
            _, entry = shelf.entries.popitem()
            self.size_bytes -= _content_bytes(entry)
            shelf.vacant += 1
            entry.input = b""
            entry.output = None
            entry.used = False
        if not shelf.entries:
            self._forgotten.pop()
            self.size_bytes -= shelf.vacant * _SLOT_BYTES

    def _evict(self) -> None:
        """Gives up the first entry that was not used since the hand was last there."""
        entry = self._next()
        for _ in range(_MOST_CHANCES):
            if not entry.used:
                break
            entry.used = False
            self._passed.append(entry)
            entry = self._next()
        self.size_bytes -= _ENTRY_BYTES
        if entry.output is not None:
            self.size_bytes -= _content_bytes(entry)
            self._remove(self._shelves[entry.number], entry)

    def _next(self) -> _Entry:
        """Moves the hand."""
        if not self._ahead:
            others = len(self._passed)
            if not others or len(self._young) > _NURSERY * (others + len(self._young)):
                return self._young.popleft()
            self._ahead, self._passed = self._passed, self._ahead
        return self._ahead.popleft()

    def _remove(self, shelf: _Shelf, entry: _Entry) -> None:
        del shelf.entries[entry.input]
        shelf.vacant += 1
        if shelf.vacant > len(shelf.entries):
            # A dictionary that loses entries keeps its table.
            shelf.entries = dict(shelf.entries)
            self.size_bytes -= shelf.vacant * _SLOT_BYTES
            shelf.vacant = 0


def _content_bytes(entry: _Entry) -> int:
    """What its input and its output take; nothing is left of them once its version was forgotten."""
    output = entry.output
    if output is None:
        return 0
    if output.isascii():
        return _HEADER_BYTES + len(entry.input) + len(output)
    return _HEADER_BYTES + len(entry.input) + _WIDE_HEADER_BYTES + _CHARACTER_BYTES * len(output)
