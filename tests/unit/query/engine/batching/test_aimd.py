"""Additive increase, multiplicative decrease."""

import random

import pytest

from services.query.engine.batching.aimd import Aimd
from tests.fixtures.queues import demand, waiting

_SLO_S = 0.09
_DEMAND = demand(_SLO_S)
_SHARE_S = 0.03
_MANY = waiting(*[1.0] * 5_000)


def _limit(policy: Aimd) -> int:
    return policy.plan(_MANY, 1, 0.0, 0.0).size


def _settled(policy: Aimd, fixed_s: float, per_input_s: float, rounds: int = 400, noise: float = 0.0) -> list[int]:
    """The limits of the second half of many full batches on a replica that takes `fixed_s` + n * `per_input_s`."""
    seeded = random.Random(6)
    limits, limit = [], _limit(policy)
    for turn in range(rounds):
        policy.observe(limit, (fixed_s + limit * per_input_s) * seeded.lognormvariate(0.0, noise), _DEMAND)
        limit = _limit(policy)
        if turn >= rounds // 2:
            limits.append(limit)
    return limits


def test_it_starts_with_one() -> None:
    assert _limit(Aimd(4096)) == 1


def test_a_full_batch_in_time_raises_the_limit_by_a_constant() -> None:
    policy = Aimd(4096)
    for expected in (3, 5, 7):
        policy.observe(_limit(policy), _SHARE_S, _DEMAND)
        assert _limit(policy) == expected


def test_a_batch_that_was_not_full_proves_nothing() -> None:
    policy = Aimd(4096)
    policy.observe(1, 0.001, _DEMAND)
    policy.observe(2, 0.001, _DEMAND)
    assert _limit(policy) == 3


def test_a_batch_that_took_too_long_lowers_the_limit_by_a_tenth_of_its_size() -> None:
    policy = Aimd(4096)
    while _limit(policy) < 100:
        policy.observe(_limit(policy), _SHARE_S, _DEMAND)
    policy.observe(100, _SHARE_S * 1.01, _DEMAND)
    assert _limit(policy) == 90
    policy.observe(10, 1.0, _DEMAND)
    assert _limit(policy) == 9


def test_the_limit_stays_within_one_and_the_largest() -> None:
    policy = Aimd(20)
    assert max(_settled(policy, fixed_s=0.0, per_input_s=0.0)) == 20
    assert min(_settled(policy, fixed_s=1.0, per_input_s=0.0)) == 1


@pytest.mark.parametrize(("fixed_s", "per_input_s"), [(0.001, 0.0005), (0.005, 0.0002), (0.0, 0.001)])
def test_it_settles_just_around_the_largest_batch_that_is_in_time(fixed_s: float, per_input_s: float) -> None:
    best = (_SHARE_S - fixed_s) / per_input_s
    limits = _settled(Aimd(4096), fixed_s, per_input_s)
    assert max(limits) <= best + 2
    assert min(limits) >= best * 0.9 - 2


def test_it_finds_the_new_optimum_when_the_model_becomes_slower() -> None:
    policy = Aimd(4096)
    _settled(policy, fixed_s=0.001, per_input_s=0.0005)
    assert max(_settled(policy, fixed_s=0.001, per_input_s=0.001)) <= 29 + 2


def test_noise_moves_the_limit_but_not_away() -> None:
    limits = _settled(Aimd(4096), fixed_s=0.002, per_input_s=0.0005, rounds=1_000, noise=0.1)
    assert 35 < sum(limits) / len(limits) < 58
