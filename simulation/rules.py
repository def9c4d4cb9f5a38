"""Rules that are told what a policy has to learn, for comparison: how fast a replica is and how much is asked of it.

A rule's largest batch is chosen beforehand. It goes when the replica is idle, the earliest deadlines first, and what
could not make it is given up.
"""

import math

from services.query.engine.batching import WAIT, Plan
from services.query.engine.demand import Demand
from services.query.engine.queue import TaskQueue
from simulation.replicas import ServiceTime

# All but one in a hundred batches take no longer than by this many standard deviations.
_P99 = 2.33


class Rule:
    """Batches up to a size.

    Args:
        service_time: of the replica.
        largest: the largest batch.
    """

    def __init__(self, service_time: ServiceTime, largest: int) -> None:
        self._service_time = service_time
        self.full_size = max(1, largest)

    def plan(self, queue: TaskQueue, replicas: int, busy_s: float, now_s: float) -> Plan:
        """At most the largest batch."""
        if busy_s > 0.0:
            return WAIT
        end_s = now_s + self._most_s(min(len(queue), self.full_size))
        late = [(lane, lost) for lane in queue.lanes if (lost := lane.due_by(end_s))]
        left = len(queue) - sum(lost for _, lost in late)
        return Plan(min(left, self.full_size), late, is_full=True, by_share=False)

    def expected_s(self, size: int) -> float:
        """Nobody asks."""
        return math.inf

    def observe(self, size: int, busy_s: float, demand: Demand) -> None:
        """Nothing to learn."""

    def _most_s(self, size: int) -> float:
        return self._service_time.mean_s(size) * math.exp(_P99 * self._service_time.noise)


def half_objective(service_time: ServiceTime, objective_s: float) -> Rule:
    """Batches of half of the latency objective, which leave as much for the wait."""
    return Rule(service_time, int((objective_s / 2 - service_time.fixed_s) / service_time.per_input_s))


def stable(service_time: ServiceTime, rate: float) -> Rule:
    """The smallest batches that serve so many inputs a second."""
    left = 1.0 - rate * service_time.per_input_s
    return Rule(service_time, math.ceil(rate * service_time.fixed_s / left))
