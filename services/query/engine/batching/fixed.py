"""A hard maximum for every batch."""

import math

from services.query.engine.batching.plan import Plan, up_to
from services.query.engine.queue import TaskQueue


class Fixed:
    """Never adapts."""

    __slots__ = ("_limit",)

    def __init__(self, limit: int) -> None:
        self._limit = limit

    def plan(self, queue: TaskQueue, replicas: int, busy_s: float, now_s: float, slo_s: float) -> Plan:
        """At most the limit."""
        return up_to(self._limit, queue, busy_s)

    def expected_s(self, size: int) -> float:
        """Unknown."""
        return math.inf

    def observe(self, size: int, busy_s: float, slo_s: float) -> None:
        """Nothing to learn."""
