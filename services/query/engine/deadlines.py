"""Who waits, by deadline, so that a timer knows when to look and at whom."""

import heapq
import itertools
import math
from typing import Protocol


class Waiting(Protocol):
    """Whoever waits for something: requests for their answers, and others.

    Attributes:
        deadline_s: until when.
    """

    deadline_s: float

    @property
    def unanswered(self) -> int:
        """How many answers are missing; 0 when it waits no longer."""


# Who waits no longer stays in the heap until the deadline or until such outnumber those who wait this many times; a
# rebuild then costs no more than what was pushed since the last one.
_STALE_RATIO = 2
_SMALLEST_REBUILD = 256


class Deadlines:
    """Those who wait, earliest deadline first."""

    __slots__ = ("_heap", "_numbers", "_rebuild_at")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Waiting]] = []
        self._numbers = itertools.count()
        self._rebuild_at = _SMALLEST_REBUILD

    def add(self, waiting: Waiting) -> None:
        """Watches somebody until nothing of it is unanswered or its deadline comes."""
        heapq.heappush(self._heap, (waiting.deadline_s, next(self._numbers), waiting))
        if len(self._heap) >= self._rebuild_at:
            self._drop_answered()

    def next(self) -> float:
        """The earliest deadline of those who wait; infinity when nobody does."""
        heap = self._heap
        while heap:
            if heap[0][2].unanswered:
                return heap[0][0]
            heapq.heappop(heap)
        return math.inf

    def expire(self, now_s: float) -> list[Waiting]:
        """Removes and returns those who wait and whose deadline is not after `now_s`."""
        expired = []
        while self.next() <= now_s:
            expired.append(heapq.heappop(self._heap)[2])
        return expired

    def _drop_answered(self) -> None:
        self._heap = [entry for entry in self._heap if entry[2].unanswered]
        heapq.heapify(self._heap)
        self._rebuild_at = max(_SMALLEST_REBUILD, _STALE_RATIO * len(self._heap))
