"""What is known of a replica's speed."""

import itertools
import math
import random

import pytest

from services.query.engine.batching.latency import LatencyModel


def _observed(fixed_s: float, per_input_s: float, *, sizes: range = range(1, 60), noise: float = 0.0) -> LatencyModel:
    model = LatencyModel()
    _observe(model, fixed_s, per_input_s, sizes=sizes, noise=noise)
    return model


def _observe(
    model: LatencyModel, fixed_s: float, per_input_s: float, *, sizes: range = range(1, 60), noise: float = 0.0
) -> None:
    seeded = random.Random(3)
    for _ in range(200):
        size = seeded.choice(sizes)
        model.observe(size, (fixed_s + size * per_input_s) * seeded.lognormvariate(0.0, noise))


def test_nothing_is_known_at_first_but_that_one_may_be_tried() -> None:
    model = LatencyModel()
    assert not model.known
    assert model.largest_within(0.001) == 1
    assert model.largest_within(0.0) == 0


@pytest.mark.parametrize(("fixed_s", "per_input_s"), [(0.001, 0.0001), (0.01, 0.0001), (0.0, 0.001)])
def test_it_finds_the_line_behind_batches_of_different_sizes(fixed_s: float, per_input_s: float) -> None:
    model = _observed(fixed_s, per_input_s)
    for size in (10, 20, 60):
        assert model.mean_s(size) == pytest.approx(fixed_s + size * per_input_s, rel=0.1)


def test_equal_batches_say_what_they_took_and_little_of_others() -> None:
    model = _observed(0.001, 0.0001, sizes=range(10, 11))
    assert model.mean_s(10) == pytest.approx(0.002, rel=0.01)
    assert 0.002 < model.mean_s(20) < 0.004


def test_the_p99_covers_99_of_100_batches() -> None:
    model, seeded = _observed(0.002, 0.0005, noise=0.2), random.Random(5)
    late = sum((0.002 + 30 * 0.0005) * seeded.lognormvariate(0.0, 0.2) > model.p99_s(30) for _ in range(5_000))
    assert late / 5_000 < 0.04


def test_the_largest_batch_within_a_budget_is_the_last_whose_p99_is_within_it() -> None:
    model = _observed(0.001, 0.0005)
    size = model.largest_within(0.02)
    assert model.p99_s(size) <= 0.02 < model.p99_s(size + 1)


def test_an_efficient_batch_serves_nearly_as_many_as_the_largest_within_the_budget() -> None:
    model = _observed(0.005, 0.0001, sizes=range(1, 200))
    largest, efficient = model.largest_within(0.02), model.efficient_within(0.02)
    assert efficient < largest
    assert efficient / model.mean_s(efficient) >= 0.95 * largest / model.mean_s(largest)


def test_no_batch_is_within_a_budget_that_one_input_exceeds() -> None:
    assert _observed(0.01, 0.001).largest_within(0.005) == 0
    assert _observed(0.01, 0.001).largest_within(-1.0) == 0


def test_sizes_far_from_any_seen_are_approached_in_steps() -> None:
    model = LatencyModel()
    model.observe(1, 0.0001)
    reached = []
    for _ in range(6):
        reached.append(model.largest_within(10.0))
        model.observe(reached[-1], 0.0001)
    assert reached[0] == 3
    assert all(later <= 2 * earlier + 1 for earlier, later in itertools.pairwise(reached))
    assert reached[-1] > 50


def test_a_straggler_is_not_taken_for_the_rule() -> None:
    model = _observed(0.001, 0.0001)
    model.observe(20, 1.0)
    assert model.mean_s(20) < 0.006


@pytest.mark.parametrize("factor", [2.0, 5.0, 0.5])
def test_a_lasting_change_of_speed_is_followed_within_forty_batches(factor: float) -> None:
    model = _observed(0.001, 0.0001)
    for size in [10, 20, 30, 40] * 10:
        model.observe(size, (0.001 + size * 0.0001) * factor)
    assert model.mean_s(30) == pytest.approx(0.004 * factor, rel=0.1)


def test_a_model_that_takes_no_time_is_no_reason_to_fail() -> None:
    model = _observed(0.0, 0.0)
    assert model.mean_s(10) < 1e-4
    assert math.isfinite(model.p99_s(10))
    assert model.largest_within(1.0) > 50
