"""Requests by deadline, so that a timer knows when to look and whom to answer."""

import heapq
import itertools
import math
from typing import Generic, Protocol, TypeVar


class Waiting(Protocol):
    """Whoever waits, as a request does.

    Attributes:
        deadline_s: until when.
        unanswered: 0 when it waits no longer.
    """

    deadline_s: float
    unanswered: int


_WaitingT = TypeVar("_WaitingT", bound=Waiting)

# Answered requests stay in the heap until their deadline or until they outnumber the waiting ones this many times; a
# rebuild then costs no more than what was pushed since the last one.
_STALE_RATIO = 2
_SMALLEST_REBUILD = 256


class Deadlines(Generic[_WaitingT]):
    """Unanswered requests, earliest deadline first."""

    __slots__ = ("_heap", "_numbers", "_rebuild_at")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, _WaitingT]] = []
        self._numbers = itertools.count()
        self._rebuild_at = _SMALLEST_REBUILD

    def add(self, request: _WaitingT) -> None:
        """Watches a request until it is answered or its deadline comes."""
        heapq.heappush(self._heap, (request.deadline_s, next(self._numbers), request))
        if len(self._heap) >= self._rebuild_at:
            self._drop_answered()

    def next(self) -> float:
        """The earliest deadline of an unanswered request; infinity when there is none."""
        heap = self._heap
        while heap:
            if heap[0][2].unanswered:
                return heap[0][0]
            heapq.heappop(heap)
        return math.inf

    def expire(self, now_s: float) -> list[_WaitingT]:
        """Removes and returns the unanswered requests whose deadline is not after `now_s`."""
        expired = []
        while self.next() <= now_s:
            expired.append(heapq.heappop(self._heap)[2])
        return expired

    def _drop_answered(self) -> None:
        self._heap = [entry for entry in self._heap if entry[2].unanswered]
        heapq.heapify(self._heap)
        self._rebuild_at = max(_SMALLEST_REBUILD, _STALE_RATIO * len(self._heap))
