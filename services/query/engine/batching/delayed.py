"""A policy's batches, held back for a while so that they grow (paper: figure 5)."""

from services.query.engine.batching.plan import BatchingPolicy, Plan
from services.query.engine.demand import Demand
from services.query.engine.queue import TaskQueue


class Delayed:
    """Lets the first query of a batch wait for others; a batch that is full goes at once.

    Worth it where a batch costs much and an input little; `adaptive` needs it only where replicas are mostly idle.

    Args:
        policy: plans the batches.
        delay_s: how long a query may be held back.
    """

    __slots__ = ("_delay_s", "_policy")

    def __init__(self, policy: BatchingPolicy, delay_s: float) -> None:
        self._policy = policy
        self._delay_s = delay_s

    def plan(self, queue: TaskQueue, replicas: int, busy_s: float, now_s: float) -> Plan:
        """The policy's plan, later."""
        plan = self._policy.plan(queue, replicas, busy_s, now_s)
        leaves_s = min(lane.oldest_arrival_s() for lane in queue.lanes) + self._delay_s
        if plan.size and not plan.is_full and now_s < leaves_s:
            return Plan(0, plan.late, leaves_s)
        return plan

    @property
    def full_size(self) -> int:
        """As the policy says."""
        return self._policy.full_size

    def expected_s(self, size: int) -> float:
        """As the policy says."""
        return self._policy.expected_s(size)

    def observe(self, size: int, busy_s: float, demand: Demand) -> None:
        """The policy learns."""
        self._policy.observe(size, busy_s, demand)
