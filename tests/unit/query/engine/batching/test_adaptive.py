"""The largest batch that makes its deadlines; what cannot make it is given up early."""

import dataclasses
import math

import pytest

from services.query.engine.batching.adaptive import Adaptive
from services.query.engine.batching.plan import LARGEST, Plan
from services.query.engine.queue import TaskQueue
from tests.fixtures.queues import APPLICATION, demand, push, task, waiting

_SLO_S = 0.1
_DEMAND = demand(_SLO_S)
_OTHER = dataclasses.replace(APPLICATION, name="other")


def _learnt(fixed_s: float = 0.001, per_input_s: float = 0.001, largest: int = LARGEST) -> Adaptive:
    """A policy that knows a replica without noise."""
    policy = Adaptive(largest)
    for size in [1, 10, 20, 40, 80] * 20:
        policy.observe(size, fixed_s + size * per_input_s, _DEMAND)
    return policy


def _plan(policy: Adaptive, queue: TaskQueue, *, busy_s: float = 0.0, replicas: int = 1) -> Plan:
    return policy.plan(queue, replicas, busy_s, 0.0)


def _late(plan: Plan) -> int:
    return sum(count for _, count in plan.late)


def test_the_first_batch_is_one_task() -> None:
    assert _plan(Adaptive(LARGEST), waiting(*[1.0] * 50)).size == 1


def test_an_idle_replica_takes_all_that_makes_its_deadline() -> None:
    plan = _plan(_learnt(), waiting(*[_SLO_S] * 20))
    assert plan == Plan(20, is_full=False)


def test_a_batch_is_no_larger_than_its_earliest_deadline_allows() -> None:
    plan = _plan(_learnt(), waiting(0.03, *[_SLO_S] * 45))
    assert 15 < plan.size < 30
    assert _late(plan) == 0


def test_batches_are_short_as_long_as_all_can_be_served_by_them() -> None:
    # 50 could go at once in 51 ms and make it; in batches of 40 ms they make it, too, and newcomers wait less.
    assert 25 < _plan(_learnt(), waiting(*[_SLO_S] * 50)).size <= 40


def test_what_cannot_make_it_is_given_up_so_that_the_rest_can() -> None:
    plan = _plan(_learnt(), waiting(*[0.001] * 30, *[_SLO_S] * 20))
    assert _late(plan) == 30
    assert plan.size == 20


def test_nothing_is_given_up_that_several_replicas_can_serve_together() -> None:
    queue = waiting(*[_SLO_S] * 200)
    assert _late(_plan(_learnt(), queue, replicas=8)) == 0
    assert _plan(_learnt(), queue, replicas=8).size > 20


def test_what_several_replicas_take_at_once_is_not_judged_as_one_large_batch() -> None:
    plan = _plan(_learnt(), waiting(*[0.02] * 5, *[0.06] * 95), replicas=4)
    assert _late(plan) == 0


def test_in_an_overload_the_head_makes_way_for_batches_that_serve_more() -> None:
    # So many cannot be served, and the head leaves time for 9.
    plan = _plan(_learnt(), waiting(*[0.012 + place * 0.0003 for place in range(300)]))
    assert _late(plan) > 50
    assert plan.size > 25


def test_no_batch_is_larger_than_the_largest() -> None:
    assert _plan(_learnt(largest=7), waiting(*[_SLO_S] * 50)).size == 7


def test_a_busy_replica_is_sent_nothing_before_it_is_nearly_done() -> None:
    plan = _plan(_learnt(), waiting(*[_SLO_S] * 50), busy_s=0.02)
    assert plan.size == 0
    assert 0.015 < plan.look_again_s < 0.02
    assert _plan(_learnt(), waiting(*[_SLO_S] * 50), busy_s=0.001).size > 20


def test_a_busy_replica_is_sent_no_small_batch() -> None:
    plan = _plan(_learnt(), waiting(*[_SLO_S] * 5), busy_s=0.001)
    assert plan.size == 0
    assert plan.look_again_s == math.inf


def test_an_idle_replica_that_is_too_slow_for_anybody_is_tried_with_one_task() -> None:
    plan = _plan(_learnt(fixed_s=1.0), waiting(*[_SLO_S] * 10))
    assert plan.size == 1
    assert _late(plan) == 9


def test_what_is_tried_is_no_larger_than_the_largest_batch_either() -> None:
    plan = _plan(_learnt(largest=8), waiting(*[0.0005] * 50))
    assert (plan.size, _late(plan)) == (8, 42)


def test_a_busy_replica_that_is_too_slow_for_anybody_is_not() -> None:
    assert _plan(_learnt(fixed_s=1.0), waiting(*[_SLO_S] * 10), busy_s=0.001).size == 0


def test_only_the_lane_that_floods_gives_up_its_head() -> None:
    queue = waiting(*[0.03 + place * 0.0001 for place in range(500)])
    push(queue, *(task(0.06, _OTHER) for _ in range(10)))
    assert {lane.application.name for lane, _ in _plan(_learnt(), queue).late} == {"app"}


def test_a_lane_that_one_batch_takes_whole_gives_nothing_up_beside_a_flood() -> None:
    queue = waiting(*[0.03 + place * 0.0001 for place in range(500)])
    push(queue, *(task(0.015 + place * 0.006, _OTHER) for place in range(10)))
    plan = _plan(_learnt(), queue)
    assert {lane.application.name for lane, _ in plan.late} == {"app"}
    assert 5 <= plan.size <= 15


@pytest.mark.parametrize("flooding", [70, 500])
def test_beside_a_lane_that_keeps_up_a_young_flood_gets_no_larger_batches_than_anybody(flooding: int) -> None:
    queue = waiting(*[_SLO_S] * flooding)
    push(queue, *(task(_SLO_S, _OTHER) for _ in range(5)))
    plan = _plan(_learnt(), queue)
    assert 25 < plan.size <= 40
    assert not plan.late
    alone = _plan(_learnt(), waiting(*[_SLO_S] * 500))
    assert alone.size > 60


def test_a_flood_that_comes_while_nobody_else_waits_leaves_time_for_who_was_there_an_objective_ago() -> None:
    policy = _learnt()
    queue = waiting(_SLO_S)
    push(queue, task(_SLO_S, _OTHER))
    assert _plan(policy, queue).size == 2
    flood = waiting(*[1.9 * _SLO_S] * 500)
    assert 25 < policy.plan(flood, 1, 0.0, 0.9 * _SLO_S).size <= 40
    later = waiting(*[2.1 * _SLO_S] * 500)
    assert policy.plan(later, 1, 0.0, 1.1 * _SLO_S).size > 60


@pytest.mark.parametrize("count", [1, 5, 50, 500])
def test_a_plan_never_asks_for_more_than_there_is(count: int) -> None:
    for budget_s in (0.001, 0.01, 0.05, 0.1):
        for busy_s in (0.0, 0.001):
            plan = _plan(_learnt(), waiting(*[budget_s] * count), busy_s=busy_s)
            assert 0 <= plan.size <= count - _late(plan)
