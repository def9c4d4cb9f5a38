"""A line through the 99th percentile of batch durations."""

import random

import pytest

from services.query.engine.batching.quantile import Quantile
from tests.fixtures.queues import demand, waiting

_SLO_S = 0.09
_DEMAND = demand(_SLO_S)
_SHARE_S = 0.03
_MANY = waiting(*[1.0] * 5_000)


def _limit(policy: Quantile) -> int:
    return policy.plan(_MANY, 1, 0.0, 0.0).size


def _learn(policy: Quantile, fixed_s: float, per_input_s: float, *, noise: float = 0.0, batches: int = 300) -> None:
    seeded = random.Random(6)
    for _ in range(batches):
        size = max(1, int(_limit(policy) * seeded.uniform(0.3, 1.0)))
        policy.observe(size, (fixed_s + size * per_input_s) * seeded.lognormvariate(0.0, noise), _DEMAND)


def test_it_starts_with_one() -> None:
    assert _limit(Quantile(4096)) == 1


@pytest.mark.parametrize(("fixed_s", "per_input_s"), [(0.001, 0.0005), (0.005, 0.0002), (0.0, 0.001), (0.028, 0.0001)])
def test_the_limit_is_where_the_line_meets_the_share_of_the_objective(fixed_s: float, per_input_s: float) -> None:
    policy = Quantile(4096)
    _learn(policy, fixed_s, per_input_s)
    assert _limit(policy) == pytest.approx((_SHARE_S - fixed_s) / per_input_s, rel=0.1, abs=2)


def test_noise_lowers_the_limit_so_that_99_of_100_are_in_time() -> None:
    policy = Quantile(4096)
    _learn(policy, 0.002, 0.0005, noise=0.1)
    # The 99th percentile of the noise is 1.26.
    assert _limit(policy) == pytest.approx((_SHARE_S / 1.26 - 0.002) / 0.0005, rel=0.15)


def test_the_limit_at_most_doubles_from_what_was_seen() -> None:
    policy = Quantile(4096)
    policy.observe(1, 0.0001, _DEMAND)
    assert _limit(policy) <= 3


def test_the_limit_stays_within_one_and_the_largest() -> None:
    policy = Quantile(20)
    _learn(policy, 0.0, 0.0, batches=50)
    assert _limit(policy) == 20
    slow = Quantile(20)
    _learn(slow, 1.0, 0.1, batches=50)
    assert _limit(slow) == 1


def test_batches_of_one_size_that_take_too_long_become_smaller_in_proportion() -> None:
    policy = Quantile(4096)
    for _ in range(50):
        policy.observe(60, 1.2 * _SHARE_S, _DEMAND)
    assert _limit(policy) == 50


def test_it_follows_when_the_model_becomes_slower() -> None:
    policy = Quantile(4096)
    _learn(policy, 0.001, 0.0005)
    _learn(policy, 0.002, 0.001)
    assert _limit(policy) == pytest.approx(28, rel=0.15)
