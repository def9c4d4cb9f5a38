"""When to look at whom, to see for how long they have kept their batches.

Not among the deadlines of requests: there an earlier look would keep answered requests from being freed at once.
"""

import heapq
import itertools
import math

from services.query.engine.versions import Batch, Replica


class Lookout:
    """The looks at replicas to come: one of each at most, at its `look_s`.

    Attributes:
        next_s: when the next may be due; infinity when there is none.
    """

    __slots__ = ("_looks", "_numbers", "next_s")

    def __init__(self) -> None:
        self.next_s = math.inf
        # With looks that were called off, or moved, since.
        self._looks: list[tuple[float, int, Replica]] = []
        self._numbers = itertools.count()

    def sent(self, batch: Batch) -> None:
        """Has whoever was sent a batch looked at when that is overdue."""
        self.look_at(batch.replica, batch.sent_s + batch.replica.patience.overdue_after_s(batch))

    def look_at(self, replica: Replica, look_s: float) -> None:
        """Has a replica looked at then, and not before."""
        replica.look_s = look_s
        heapq.heappush(self._looks, (look_s, next(self._numbers), replica))
        self.next_s = self._looks[0][0]

    def take_due(self, now_s: float) -> list[Replica]:
        """Whom to look at now."""
        due = []
        while self._looks and self._looks[0][0] <= now_s:
            look_s, _, replica = heapq.heappop(self._looks)
            if replica.look_s == look_s:
                replica.look_s = math.inf
                due.append(replica)
        self.next_s = self._looks[0][0] if self._looks else math.inf
        return due
