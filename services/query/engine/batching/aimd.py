"""Additive increase, multiplicative decrease, after Crankshaw et al., "Clipper", NSDI 2017, section 4.3."""

import math

from services.query.engine.batching.plan import Plan, up_to
from services.query.engine.demand import Demand
from services.query.engine.queue import TaskQueue

_STEP = 2
_BACK_OFF = 0.9
# A query may find one batch computing and one full batch sent behind it before its own.
_SHARE = 1 / 3


class Aimd:
    """A full batch within its share of the latency objective raises the limit; one beyond it lowers it by a tenth.

    Args:
        largest: the limit's own limit.
    """

    __slots__ = ("_largest", "_least_s", "full_size")

    def __init__(self, largest: int) -> None:
        self._largest = largest
        # Of a batch: nobody is answered sooner.
        self._least_s = math.inf
        self.full_size = 1

    def plan(self, queue: TaskQueue, replicas: int, busy_s: float, now_s: float) -> Plan:
        """At most the limit."""
        return up_to(self.full_size, queue, busy_s)

    def expected_s(self, size: int) -> float:
        """Unknown: the limit is all that it learns."""
        return math.inf

    def observe(self, size: int, busy_s: float, demand: Demand) -> None:
        """Raises or lowers the limit."""
        self._least_s = min(self._least_s, busy_s)
        if busy_s > demand.tightest_s(self._least_s) * _SHARE:
            self.full_size = max(1, int(min(self.full_size, size) * _BACK_OFF))
        elif size >= self.full_size:
            self.full_size = min(self._largest, self.full_size + _STEP)
