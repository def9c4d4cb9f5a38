"""A policy's batches, held back for a while."""

import math

from services.query.engine.batching import Fixed
from services.query.engine.batching.delayed import Delayed
from tests.fixtures.queues import demand, push, task, waiting

_SLO_S = 0.1
_DEMAND = demand(_SLO_S)
_DELAY_S = 0.002


def test_the_first_of_a_batch_waits_for_others() -> None:
    plan = Delayed(Fixed(8), _DELAY_S).plan(waiting(1.0, arrival_s=5.0), 1, 0.0, 5.0)
    assert plan.size == 0
    assert plan.look_again_s == 5.0 + _DELAY_S


def test_when_it_has_waited_all_go() -> None:
    queue = waiting(1.0, arrival_s=5.0)
    push(queue, task(1.0, arrival_s=5.001))
    assert Delayed(Fixed(8), _DELAY_S).plan(queue, 1, 0.0, 5.0 + _DELAY_S).size == 2


def test_a_full_batch_goes_at_once() -> None:
    assert Delayed(Fixed(2), _DELAY_S).plan(waiting(1.0, 1.0, arrival_s=5.0), 1, 0.0, 5.0).size == 2


def test_what_the_policy_holds_back_stays_held_back() -> None:
    plan = Delayed(Fixed(8), _DELAY_S).plan(waiting(1.0, arrival_s=1.0), 1, math.inf, 5.0)
    assert plan.size == 0
    assert plan.look_again_s == math.inf


def test_the_policy_learns_what_it_would() -> None:
    delayed = Delayed(Fixed(8), _DELAY_S)
    delayed.observe(1, 1.0, _DEMAND)
    assert delayed.expected_s(1) == math.inf
