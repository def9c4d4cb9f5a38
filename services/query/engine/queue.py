"""Tasks that wait for a replica of one model version: a lane for each application, earliest deadline first in each.

Lanes share the version's replicas. A strictly more important class of priority goes first; within a class a batch is
divided by the applications' shares, and what one lane cannot use falls to the others. So an application that floods a
model fills its own lane, and only its own queries become late. A batching policy may have the earliest deadlines of a
class go first instead. What a lane is behind the others by is kept as in start-time fair queueing (Goyal et al., 1996):
whoever was away begins where the others are.
"""

from __future__ import annotations

import math
from bisect import bisect_right, insort
from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

from services.common.names import PRIORITIES
from services.query.engine.demand import Demand

if TYPE_CHECKING:
    from services.common.records import Application
    from services.query.engine.requests import Task

# Places of tasks that have left are reclaimed when they are this many and outnumber the waiting ones.
_RECLAIM_AT = 1024


class Lane:
    """What waits on behalf of one application: sorted by deadline, equal ones in their order of arrival.

    A task that has been answered or sent meanwhile stays until its entry is reached.

    Attributes:
        application: the application's record.
        served: how many tasks have left by turn, divided by the share; who has the least is next.
    """

    __slots__ = ("_count", "_entries", "_head", "application", "served")

    def __init__(self, application: Application) -> None:
        self.application = application
        self.served = 0.0
        # Deadlines mostly come in order, so most entries are appended.
        self._entries: list[tuple[float, int, Task]] = []
        self._head = 0
        self._count = 0

    def __len__(self) -> int:
        return len(self._entries) - self._head

    def due_s(self, place: int) -> float:
        """The deadline of the entry at `place`, counted from the earliest."""
        return self._entries[self._head + place][0]

    def due_by(self, due_s: float) -> int:
        """How many have no later deadline than that."""
        return bisect_right(self._entries, (due_s, math.inf), lo=self._head) - self._head

    def arrived_by(self, arrival_s: float) -> int:
        """How many of them had come by then, if the deadlines are in the order of arrival."""
        place = bisect_right(self._entries, arrival_s, lo=self._head, key=lambda entry: entry[2].arrival_s)
        return place - self._head

    def oldest_arrival_s(self) -> float:
        """When the task at the head came."""
        return self._entries[self._head][2].arrival_s

    def push(self, due_s: float, task: Task) -> None:
        """Adds a task."""
        self._count += 1
        entry = (due_s, self._count, task)
        entries = self._entries
        if len(entries) == self._head or entries[-1][0] <= due_s:
            entries.append(entry)
        else:
            insort(entries, entry, lo=self._head)

    def take(self, count: int) -> list[Task]:
        """Removes the `count` earliest entries, or all if there are fewer; returns their tasks."""
        end = min(self._head + count, len(self._entries))
        tasks = [entry[2] for entry in self._entries[self._head : end]]
        self._head = end
        if end == len(self._entries):
            self._entries.clear()
            self._head = 0
        elif end >= _RECLAIM_AT and 2 * end >= len(self._entries):
            del self._entries[:end]
            self._head = 0
        return tasks


class TaskQueue:
    """The lanes of one model version.

    Args:
        capacity: most tasks that may wait in one lane.

    Attributes:
        demand: what is asked of the version.
    """

    __slots__ = ("_capacity", "_lanes", "_length", "_served", "demand")

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._lanes: dict[str, Lane] = {}
        self._length = 0
        # Of the lane that was served last: what a new one begins with.
        self._served = 0.0
        self.demand = Demand()

    def __len__(self) -> int:
        return self._length

    @property
    def lanes(self) -> list[Lane]:
        """The lanes in which something waits."""
        return list(self._lanes.values())

    def is_full_for(self, application: Application) -> bool:
        """Whether as much waits for an application as may."""
        lane = self._lanes.get(application.name)
        return lane is not None and len(lane) >= self._capacity

    def push(self, task: Task, application: Application, due_s: float) -> None:
        """Adds a task on behalf of an application, which wants it by `due_s`."""
        lane = self._lanes.get(application.name)
        if lane is None:
            lane = self._lanes[application.name] = Lane(application)
            lane.served = self._served
            self.demand.seen(application, task.arrival_s)
        lane.application = application
        lane.push(due_s, task)
        self._length += 1
        self.demand.count += 1

    def survey(self, now_s: float) -> None:
        """Brings `demand` up to date."""
        self.demand.survey((lane.application for lane in self._lanes.values()), now_s)

    def quotas(self, size: int) -> list[tuple[Lane, int]]:
        """How a batch of `size` is divided among the lanes by their shares."""
        return self._divided(size, _by_share)

    def _divided(self, size: int, divide: Callable[[int, list[Lane]], dict[Lane, int]]) -> list[tuple[Lane, int]]:
        lanes = self.lanes
        if len(lanes) == 1:
            return [(lanes[0], min(size, len(lanes[0])))]
        quotas: dict[Lane, int] = {}
        for priority in PRIORITIES:
            peers = [lane for lane in lanes if lane.application.priority == priority]
            quotas.update(divide(size - sum(quotas.values()), peers))
        return list(quotas.items())

    def take(self, size: int, most_bytes: int, *, by_share: bool = True) -> list[Task]:
        """Removes tasks for a batch.

        Args:
            size: how many at most.
            most_bytes: how large their inputs may be together; a single one may be larger.
            by_share: whether lanes of a class get what their shares say; else the earliest deadlines go first.

        Returns:
            Tasks that somebody still waits for and that are not on their way, or are stuck there, in the order of the
            lanes. Others met before `size` is reached are removed, too.
        """
        tasks: dict[Task, None] = {}
        divide = _by_share if by_share else _by_deadline
        while self._length and len(tasks) < size:
            for lane, quota in self._divided(size - len(tasks), divide):
                before = len(tasks)
                for task in self.remove(lane, quota):
                    if (task.batch is None or task.may_be_sent) and task.waiters:
                        tasks[task] = None
                self._served = max(self._served, lane.served)
                lane.served += (len(tasks) - before) / lane.application.share
        return self._within(list(tasks), most_bytes)

    def remove(self, lane: Lane, count: int) -> list[Task]:
        """Removes the `count` earliest entries of a lane; returns their tasks."""
        tasks = lane.take(count)
        self._length -= len(tasks)
        if not len(lane):
            self._lanes.pop(lane.application.name, None)
        return tasks

    def clear(self) -> Iterator[Task]:
        """Removes and yields every task, some perhaps twice."""
        for lane in self.lanes:
            yield from self.remove(lane, len(lane))

    def _within(self, tasks: list[Task], most_bytes: int) -> list[Task]:
        total = 0
        for place, task in enumerate(tasks):
            total += len(task.input)
            if total > most_bytes and place:
                for left in tasks[place:]:
                    self.push(left, left.application, left.due_s)
                return tasks[:place]
        return tasks


def _by_deadline(size: int, lanes: list[Lane]) -> dict[Lane, int]:
    """Divides `size` so that the earliest deadlines are in it."""
    quotas = dict.fromkeys(lanes, 0)
    heads = [(lane.due_s(0), number, lane) for number, lane in enumerate(lanes)]
    heapify(heads)
    while heads and size > 0:
        _, number, lane = heappop(heads)
        next_due_s = heads[0][0] if heads else math.inf
        # All that come before another lane's turn at once.
        end = min(max(quotas[lane] + 1, lane.due_by(next_due_s)), quotas[lane] + size)
        size -= end - quotas[lane]
        quotas[lane] = end
        if end < len(lane):
            heappush(heads, (lane.due_s(end), number, lane))
    return quotas


def _by_share(size: int, lanes: list[Lane]) -> dict[Lane, int]:
    """Divides `size` by the lanes' shares; what a lane cannot use is divided among the others."""
    quotas = dict.fromkeys(lanes, 0)
    hungry = lanes
    while hungry and size > 0:
        total = sum(lane.application.share for lane in hungry)
        parts = {lane: int(size * lane.application.share / total) for lane in hungry}
        # What rounding leaves over goes to those who were served least so far.
        for lane in sorted(hungry, key=lambda lane: lane.served)[: size - sum(parts.values())]:
            parts[lane] += 1
        for lane, part in parts.items():
            given = min(part, len(lane) - quotas[lane])
            quotas[lane] += given
            size -= given
        hungry = [lane for lane in hungry if quotas[lane] < len(lane)]
    return quotas
