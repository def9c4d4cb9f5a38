"""Tasks that wait for a replica of one model version: earliest deadline first, bounded."""

import heapq
import itertools

from services.query.engine.requests import Task


class TaskQueue:
    """A queue ordered by deadline; tasks with the same deadline keep their order of arrival.

    A task whose waiters have all gone stays until it is reached, and is then dropped.
    """

    __slots__ = ("_capacity", "_heap", "_numbers")

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._heap: list[tuple[float, int, Task]] = []
        self._numbers = itertools.count()

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def full(self) -> bool:
        """Whether it holds as many tasks as it may."""
        return len(self._heap) >= self._capacity

    def push(self, task: Task) -> None:
        """Adds a task; the caller has looked at `full`."""
        heapq.heappush(self._heap, (task.deadline_s, next(self._numbers), task))

    def take(self, limit: int) -> list[Task]:
        """Removes and returns at most `limit` tasks that somebody still waits for, earliest deadline first."""
        heap = self._heap
        tasks: list[Task] = []
        while heap and len(tasks) < limit:
            task = heapq.heappop(heap)[2]
            if task.waiters:
                tasks.append(task)
        return tasks

    def clear(self) -> list[Task]:
        """Removes and returns every task."""
        tasks = [entry[2] for entry in self._heap]
        self._heap.clear()
        return tasks
