"""Additive increase, multiplicative decrease, after Crankshaw et al., "Clipper", NSDI 2017, section 4.3."""

import math

from services.query.engine.batching.plan import Plan, up_to
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

    __slots__ = ("_largest", "_limit")

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._limit = 1

    def plan(self, queue: TaskQueue, replicas: int, busy_s: float, now_s: float, slo_s: float) -> Plan:
        """At most the limit."""
        return up_to(self._limit, queue, busy_s)

    def expected_s(self, size: int) -> float:
        """Unknown: the limit is all that it learns."""
        return math.inf

    def observe(self, size: int, busy_s: float, slo_s: float) -> None:
        """Raises or lowers the limit."""
        if busy_s > slo_s * _SHARE:
            self._limit = max(1, int(min(self._limit, size) * _BACK_OFF))
        elif size >= self._limit:
            self._limit = min(self._largest, self._limit + _STEP)
