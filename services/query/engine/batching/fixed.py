"""A hard maximum for every batch."""

import math

from services.query.engine.batching.plan import Plan, up_to
from services.query.engine.demand import Demand
from services.query.engine.queue import TaskQueue


class Fixed:
    """Takes what waits, up to the limit, and never adapts."""

    __slots__ = ("full_size",)

    def __init__(self, limit: int) -> None:
        self.full_size = limit

    def plan(self, queue: TaskQueue, replicas: int, busy_s: float, now_s: float) -> Plan:
        """At most the limit."""
        return up_to(self.full_size, queue, busy_s)

    def expected_s(self, size: int) -> float:
        """Infinity: nobody knows, since nothing is learned."""
        return math.inf

    def observe(self, size: int, busy_s: float, demand: Demand) -> None:
        """Nothing to learn."""
