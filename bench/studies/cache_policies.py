"""What a full prediction cache should give up, by hit ratio and processor time.

Every policy meets the same seeded traces, in the same capacity of bytes, of which an entry takes what the production
cache counts for it; so do the hashes of former entries that S3-FIFO remembers. The production cache takes part.
"""

import functools
import random
import time
from abc import ABC, abstractmethod
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import fmean
from typing import Protocol

from bench.rig.bench import Bench
from bench.rig.report import Finding
from bench.studies.cache_traces import UNIVERSE, all_traces
from services.common.names import InputType
from services.common.records import Application, ModelVersion
from services.query.engine.cache import PredictionCache
from services.query.engine.requests import NOBODY, Request, Task
from services.query.engine.versions import Route, Version

_OUTPUT = "0.5"
# Bookkeeping of an entry, all in all; and the least for a hash that is remembered in an ordered dictionary.
_ENTRY_BYTES = 371
_GHOST_BYTES = 150
_SHARES = (0.01, 0.05, 0.2)
_TIMED = 500
_ROUNDS = 30
_REQUESTS = 100_000


class Policy(Protocol):
    """A cache whose misses are computed at once."""

    def ask(self, data: bytes) -> bool:
        """Whether the output for `data` was there; afterwards it is."""


class Lru:
    """Gives up what was used least recently."""

    def __init__(self, capacity: int) -> None:
        self._room = capacity
        self._entries: OrderedDict[bytes, int] = OrderedDict()

    def ask(self, data: bytes) -> bool:
        """See `Policy`."""
        if data in self._entries:
            self._entries.move_to_end(data)
            return True
        size = self._entries[data] = _ENTRY_BYTES + len(data)
        self._room -= size
        while self._room < 0:
            self._room += self._entries.popitem(last=False)[1]
        return False


class _Entry:
    __slots__ = ("data", "size", "uses")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = _ENTRY_BYTES + len(data)
        self.uses = 0


class _Marking(ABC):
    """A policy whose hits only mark the entry."""

    most_uses = 1

    def __init__(self, capacity: int) -> None:
        self.room = capacity
        self.entries: dict[bytes, _Entry] = {}

    def ask(self, data: bytes) -> bool:
        """See `Policy`."""
        entry = self.entries.get(data)
        if entry is not None:
            if entry.uses < self.most_uses:
                entry.uses += 1
            return True
        entry = _Entry(data)
        self.room -= entry.size
        while self.room < 0:
            victim = self.victim()
            self.room += victim.size
            del self.entries[victim.data]
        self.entries[data] = entry
        self.add(entry)
        return False

    @abstractmethod
    def add(self, entry: _Entry) -> None:
        """Takes a new entry into the queues."""

    @abstractmethod
    def victim(self) -> _Entry:
        """Takes an entry from the queues."""


class Clock(_Marking):
    """First in, first out; but what was used since its last turn gets another."""

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self._queue: deque[_Entry] = deque()

    def add(self, entry: _Entry) -> None:
        """See `_Marking`."""
        self._queue.append(entry)

    def victim(self) -> _Entry:
        """See `_Marking`."""
        while (entry := self._queue.popleft()).uses:
            entry.uses = 0
            self._queue.append(entry)
        return entry


class Sieve(_Marking):
    """CLOCK whose survivors stay where they are, so that the hand comes sooner to what is new.

    A nursery is the share of the entries, the youngest, that the hand leaves alone. SIEVE as published has none.
    """

    def __init__(self, capacity: int, nursery: float = 0.0) -> None:
        super().__init__(capacity)
        self._nursery = nursery
        self._young: deque[_Entry] = deque()
        self._ahead: deque[_Entry] = deque()
        self._passed: deque[_Entry] = deque()

    def add(self, entry: _Entry) -> None:
        """See `_Marking`."""
        self._young.append(entry)

    def victim(self) -> _Entry:
        """See `_Marking`."""
        while (entry := self._next()).uses:
            entry.uses = 0
            self._passed.append(entry)
        return entry

    def _next(self) -> _Entry:
        if not self._ahead:
            if not self._passed or len(self._young) > self._nursery * len(self.entries):
                return self._young.popleft()
            self._ahead, self._passed = self._passed, self._ahead
        return self._ahead.popleft()


class S3Fifo(_Marking):
    """A small queue on probation, a main queue for what was used there, and ghosts of what left the small one."""

    most_uses = 3

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self._small_room = capacity // 10
        self._small: deque[_Entry] = deque()
        self._main: deque[_Entry] = deque()
        self._ghosts: OrderedDict[int, None] = OrderedDict()

    def add(self, entry: _Entry) -> None:
        """See `_Marking`."""
        if hash(entry.data) in self._ghosts:
            del self._ghosts[hash(entry.data)]
            self.room += _GHOST_BYTES
            self._main.append(entry)
        else:
            self._small_room -= entry.size
            self._small.append(entry)

    def victim(self) -> _Entry:
        """See `_Marking`."""
        while self._small and (self._small_room < 0 or not self._main):
            entry = self._small.popleft()
            self._small_room += entry.size
            if entry.uses < 2:
                self._remember(entry)
                return entry
            entry.uses = 0
            self._main.append(entry)
        while (entry := self._main.popleft()).uses:
            entry.uses -= 1
            self._main.append(entry)
        return entry

    def _remember(self, entry: _Entry) -> None:
        self._ghosts[hash(entry.data)] = None
        self.room -= _GHOST_BYTES
        while len(self._ghosts) > max(1, len(self._main)):
            self._ghosts.popitem(last=False)
            self.room += _GHOST_BYTES


class Production:
    """The query service's cache, asked as the engine asks it."""

    def __init__(self, capacity: int) -> None:
        version = Version(ModelVersion("m", "1", InputType.DOUBLES), 1)
        route = Route(Application("app", InputType.DOUBLES, "", 1), {"m": version})
        query = Request(route, version, [b""], 0, 0.0, 0.0, NOBODY).queries[0]
        self._task = Task(version, b"", query, None)
        self._cache = PredictionCache(capacity)

    def ask(self, data: bytes) -> bool:
        """See `Policy`."""
        key = (0, data)
        if self._cache.output(key) is not None:
            return True
        if self._cache.flight(key) is None:
            self._cache.take_off(key, self._task)
            self._cache.land(key, _OUTPUT, 0.0)
        return False


_POLICIES: dict[str, Callable[[int], Policy]] = {
    "LRU": Lru,
    "CLOCK": Clock,
    "S3-FIFO": S3Fifo,
    "SIEVE": Sieve,
    "nursery 10 %": functools.partial(Sieve, nursery=0.1),
    "nursery 20 %": functools.partial(Sieve, nursery=0.2),
    "nursery 35 %": functools.partial(Sieve, nursery=0.35),
    "production": Production,
}


@dataclass(frozen=True, slots=True)
class CachePolicies(Finding):
    """What was found.

    Attributes:
        ratios: hit ratios by trace and by the cache's size as a part of all inputs, one a policy.
        hit_ns, miss_ns: nanoseconds of processor time for a hit, and for a miss that evicts, one a policy.
    """

    ratios: Mapping[str, Sequence[float]]
    hit_ns: Sequence[float]
    miss_ns: Sequence[float]

    @property
    def means(self) -> list[float]:
        """Of each policy's hit ratios."""
        return [fmean(column) for column in zip(*self.ratios.values(), strict=True)]


def measure(bench: Bench) -> CachePolicies:
    """Has every policy meet every trace."""
    inputs = _Inputs()
    mean_bytes = fmean(_ENTRY_BYTES + len(inputs[number]) for number in range(UNIVERSE))
    ratios = {}
    for title, numbers in all_traces().items():
        trace = [inputs[number] for number in islice(numbers, bench.amount(_REQUESTS))]
        for share in _SHARES:
            capacity = round(share * UNIVERSE * mean_bytes)
            ratios[f"{title}, {share:.0%}"] = [_hit_ratio(make(capacity), trace) for make in _POLICIES.values()]
    return CachePolicies(ratios, [*map(_hit_ns, _POLICIES.values())], [*map(_miss_ns, _POLICIES.values())])


class _Inputs(dict[int, bytes]):
    """Inputs by number, made when asked for; their lengths vary by the order of magnitude."""

    def __init__(self) -> None:
        generator = random.Random(1)
        self._lengths = [min(20_000, round(generator.lognormvariate(6.0, 1.0)) + 16) for _ in range(1_021)]

    def __missing__(self, number: int) -> bytes:
        data = self[number] = (b"%d" % number).ljust(self._lengths[number % len(self._lengths)])
        return data


def _hit_ratio(policy: Policy, trace: Sequence[bytes]) -> float:
    return sum(map(policy.ask, trace)) / len(trace)


def _hit_ns(make: Callable[[int], Policy]) -> float:
    policy = make(2**30)
    kept = [random.randbytes(80) for _ in range(_TIMED)]
    _hit_ratio(policy, kept)
    # As in production, what is asked for is never the very object that is kept.
    return min(_ns_each(policy, [bytes(bytearray(data)) for data in kept]) for _ in range(_ROUNDS))


def _miss_ns(make: Callable[[int], Policy]) -> float:
    policy = make(_TIMED * (_ENTRY_BYTES + 80))
    return min(_ns_each(policy, [random.randbytes(80) for _ in range(_TIMED)]) for _ in range(_ROUNDS))


def _ns_each(policy: Policy, trace: Sequence[bytes]) -> float:
    begun_ns = time.thread_time_ns()
    for data in trace:
        policy.ask(data)
    return (time.thread_time_ns() - begun_ns) / len(trace)
