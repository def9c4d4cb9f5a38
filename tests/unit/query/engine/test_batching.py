"""How batching policies choose the largest batch."""

import random

import pytest

from services.query.engine.batching import Aimd, BatchingPolicy, FixedSize, policy_for

_SLO_S = 0.09
_SHARE_S = 0.03


def _settled(policy: BatchingPolicy, fixed_s: float, per_input_s: float, rounds: int = 400) -> list[int]:
    """The limits of the second half of many full batches on a replica that takes `fixed_s` + n * `per_input_s`."""
    limits = []
    for _ in range(rounds):
        policy.observe(policy.limit, fixed_s + policy.limit * per_input_s, _SLO_S)
        limits.append(policy.limit)
    return limits[rounds // 2 :]


def test_the_registered_batch_size_chooses_the_policy() -> None:
    assert isinstance(policy_for(-1), Aimd)
    assert isinstance(policy_for(7), FixedSize)
    assert policy_for(7).limit == 7


def test_a_fixed_size_never_adapts() -> None:
    assert set(_settled(FixedSize(7), fixed_s=1.0, per_input_s=1.0)) == {7}


def test_aimd_starts_with_one() -> None:
    assert Aimd().limit == 1


def test_a_full_batch_in_time_raises_the_limit_by_a_constant() -> None:
    policy = Aimd()
    for expected in (3, 5, 7):
        policy.observe(policy.limit, _SHARE_S, _SLO_S)
        assert policy.limit == expected


def test_a_batch_that_was_not_full_proves_nothing() -> None:
    policy = Aimd()
    policy.observe(1, 0.001, _SLO_S)
    policy.observe(2, 0.001, _SLO_S)
    assert policy.limit == 3


def test_a_batch_that_took_too_long_lowers_the_limit_by_a_tenth() -> None:
    policy = Aimd()
    policy.limit = 100
    policy.observe(100, _SHARE_S * 1.01, _SLO_S)
    assert policy.limit == 90


def test_a_small_batch_that_took_too_long_lowers_the_limit_below_its_own_size() -> None:
    policy = Aimd()
    policy.limit = 100
    policy.observe(10, 1.0, _SLO_S)
    assert policy.limit == 9


def test_the_limit_never_falls_below_one() -> None:
    policy = Aimd()
    for _ in range(100):
        policy.observe(1, 1.0, _SLO_S)
    assert policy.limit == 1


def test_the_limit_has_an_end_even_for_a_model_that_costs_nothing() -> None:
    assert max(_settled(Aimd(), fixed_s=0.0, per_input_s=0.0, rounds=10_000)) == 4096


def test_a_version_without_objective_is_batched_as_large_as_may_be() -> None:
    policy = Aimd()
    for _ in range(10):
        policy.observe(policy.limit, 100.0, float("inf"))
    assert policy.limit == 21


@pytest.mark.parametrize(("fixed_s", "per_input_s"), [(0.001, 0.0001), (0.005, 0.00005), (0.0, 0.001)])
def test_it_settles_just_around_the_largest_batch_that_is_in_time(fixed_s: float, per_input_s: float) -> None:
    best = (_SHARE_S - fixed_s) / per_input_s
    limits = _settled(Aimd(), fixed_s, per_input_s, rounds=4_000)
    assert max(limits) <= best + 2
    assert min(limits) >= best * 0.9 - 2


def test_it_finds_the_new_optimum_when_the_model_becomes_slower() -> None:
    policy = Aimd()
    _settled(policy, fixed_s=0.001, per_input_s=0.0001)
    limits = _settled(policy, fixed_s=0.001, per_input_s=0.001)
    assert max(limits) <= 29 + 2


def test_noise_moves_the_limit_but_not_away() -> None:
    seeded = random.Random(6)
    policy = Aimd()
    limits = []
    for _ in range(4_000):
        took_s = (0.002 + policy.limit * 0.0001) * seeded.lognormvariate(0.0, 0.1)
        policy.observe(policy.limit, took_s, _SLO_S)
        limits.append(policy.limit)
    assert 180 < sum(limits[2_000:]) / 2_000 < 290
