"""When to look at whom, to see for how long they have kept their batches.

Not among the deadlines of requests: there an earlier look would keep answered requests from being freed at once.
"""

from __future__ import annotations

import heapq
import itertools
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.query.engine.versions import Replica


class Look:
    """One look at a replica.

    Attributes:
        replica: at whom.
        due_s: when.
        is_off: whether it is not to be taken any more.
    """

    __slots__ = ("due_s", "is_off", "replica")

    def __init__(self, replica: Replica, due_s: float) -> None:
        self.replica = replica
        self.due_s = due_s
        self.is_off = False


class Lookout:
    """The looks to come.

    Attributes:
        next_s: when the next is due; infinity when there is none.
    """

    __slots__ = ("_looks", "_numbers", "next_s")

    def __init__(self) -> None:
        self.next_s = math.inf
        self._looks: list[tuple[float, int, Look]] = []
        self._numbers = itertools.count()

    def add(self, look: Look) -> None:
        """Takes a look that is to come."""
        heapq.heappush(self._looks, (look.due_s, next(self._numbers), look))
        self.next_s = self._looks[0][0]

    def take_due(self, now_s: float) -> list[Replica]:
        """Whom to look at now."""
        due = []
        while self._looks and self._looks[0][0] <= now_s:
            look = heapq.heappop(self._looks)[2]
            if not look.is_off:
                due.append(look.replica)
        self.next_s = self._looks[0][0] if self._looks else math.inf
        return due
