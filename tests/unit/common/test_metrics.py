"""Instruments."""

import math
import random
import statistics
from collections.abc import Callable

import pytest

from services.common.metrics import Histogram, Meter, ratio

_SHARES = (0.01, 0.1, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0)
_SHAPES: dict[str, Callable[[random.Random], float]] = {
    "latencies": lambda seeded: seeded.lognormvariate(8.0, 2.0) + 1.0,
    "uniform": lambda seeded: seeded.uniform(1.0, 1e6),
    "heavy tail": lambda seeded: seeded.paretovariate(0.8),
    "batch sizes": lambda seeded: float(seeded.randrange(1, 300)),
    "two humps": lambda seeded: seeded.choice((seeded.gauss(500.0, 9.0), seeded.gauss(90_000.0, 100.0))),
}


def _recorded(values: list[float]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram


@pytest.mark.parametrize("shape", _SHAPES)
@pytest.mark.parametrize("seed", range(3))
def test_quantiles_are_within_5_percent(shape: str, seed: int) -> None:
    seeded = random.Random(seed)
    values = sorted(_SHAPES[shape](seeded) for _ in range(5_000))
    histogram = _recorded(values)
    for share in _SHARES:
        exact = values[math.ceil(share * len(values)) - 1]
        assert histogram.quantile(share) == pytest.approx(exact, rel=0.05)


def test_count_sum_and_extremes_are_exact() -> None:
    seeded = random.Random(3)
    values = [seeded.expovariate(1e-4) for _ in range(1_000)]
    told = _recorded(values).as_json("microseconds")
    assert told["size"] == 1_000
    assert (told["min"], told["max"]) == (min(values), max(values))
    assert told["mean"] == pytest.approx(statistics.fmean(values))
    assert told["std_dev"] == pytest.approx(statistics.pstdev(values))
    assert told["unit"] == "microseconds"


def test_one_value_is_every_quantile() -> None:
    histogram = _recorded([1234.5])
    assert [histogram.quantile(share) for share in _SHARES] == [1234.5] * len(_SHARES)


def test_an_empty_histogram_is_all_zeros() -> None:
    told = Histogram().as_json("queries")
    assert set(told.values()) == {"queries", 0}
    assert Histogram().cumulative([1.0, 2.0]) == [0, 0]


def test_values_beyond_the_buckets_are_kept() -> None:
    histogram = _recorded([0.0, 1e300])
    assert histogram.count == 2
    assert histogram.quantile(0.5) <= 1.0
    assert (histogram.minimum, histogram.maximum) == (0.0, 1e300)


def test_cumulative_counts_are_exact_at_bounds_that_are_a_bucket_apart() -> None:
    values = [float(number) for number in range(1, 1_001)]
    bounds = [1.0, 2.0, 4.0, 64.0, 256.0, 1024.0]
    assert _recorded(values).cumulative(bounds) == [1, 2, 4, 64, 256, 1000]


def test_cumulative_counts_never_fall_and_err_by_one_bucket_at_most() -> None:
    seeded = random.Random(5)
    values = [seeded.lognormvariate(9.0, 2.0) + 1.0 for _ in range(5_000)]
    bounds = [500.0, 1_000.0, 2_500.0, 10_000.0, 100_000.0, 5e6]
    counts = _recorded(values).cumulative(bounds)
    assert counts == sorted(counts)
    for bound, count in zip(bounds, counts, strict=True):
        assert sum(value <= bound / 1.05 for value in values) <= count <= sum(value <= bound * 1.05 for value in values)


def test_a_meter_tells_the_rate_over_all_time() -> None:
    meter = Meter(now_s=100.0)
    for second in range(101, 121):
        meter.mark(30, float(second))
    assert meter.count == 600
    assert meter.as_json(120.0)["rate"] == pytest.approx(30.0)
    assert meter.as_json(160.0)["rate"] == pytest.approx(10.0)


def test_a_steady_rate_is_every_rate() -> None:
    meter = Meter(now_s=0.0)
    for tenth in range(1, 6_001):
        meter.mark(5, tenth / 10)
    told = meter.as_json(600.0)
    for name in ("rate", "rate_1min", "rate_5min", "rate_15min"):
        assert told[name] == pytest.approx(50.0, rel=0.02)


def test_when_events_end_the_short_window_forgets_first() -> None:
    meter = Meter(now_s=0.0)
    for tenth in range(1, 3_001):
        meter.mark(5, tenth / 10)
    told = meter.as_json(420.0)
    one, five, fifteen = (told[f"rate_{minutes}min"] for minutes in (1, 5, 15))
    assert isinstance(one, float)
    assert isinstance(five, float)
    assert isinstance(fifteen, float)
    assert 0 < one < five < fifteen < 50.0
    assert one == pytest.approx(50.0 * math.exp(-120 / 60), rel=0.1)


def test_a_meter_that_was_just_started_tells_no_rate() -> None:
    assert Meter(now_s=5.0).as_json(5.0) == {
        "unit": "events per second",
        "rate": 0.0,
        "rate_1min": 0.0,
        "rate_5min": 0.0,
        "rate_15min": 0.0,
    }


def test_a_ratio_of_nothing_is_0() -> None:
    assert (ratio(1, 4), ratio(0, 0)) == (0.25, 0.0)


def test_the_total_of_histograms_is_the_histogram_of_all_values() -> None:
    seeded = random.Random(11)
    values = [seeded.lognormvariate(8.0, 2.0) + 1.0 for _ in range(3_000)]
    total = Histogram.total(_recorded(values[start::3]) for start in range(3))
    whole = _recorded(values)
    assert total.as_json("microseconds") == pytest.approx(whole.as_json("microseconds"))
    assert total.cumulative([1e3, 1e5]) == whole.cumulative([1e3, 1e5])


def test_the_total_of_no_histograms_is_an_empty_one() -> None:
    assert Histogram.total([]).as_json("queries") == Histogram().as_json("queries")


def test_the_total_of_meters_has_their_rates_added_up() -> None:
    meters = [Meter(0.0), Meter(0.0)]
    for second in range(1, 601):
        meters[0].mark(10, float(second))
        meters[1].mark(30, float(second))
    told = Meter.total(meters, 600.0).as_json(600.0)
    assert told["rate"] == pytest.approx(40.0)
    assert told["rate_1min"] == pytest.approx(40.0, rel=0.05)


def test_the_rates_of_a_total_fade_when_nothing_more_is_counted() -> None:
    meter = Meter(0.0)
    for second in range(1, 601):
        meter.mark(10, float(second))
    total = Meter.total([Meter.total([meter], 600.0)], 660.0)
    assert total.count == 6_000
    assert 0 < float(str(total.as_json(660.0)["rate_1min"])) < 5.0


def test_reading_a_meter_changes_nothing() -> None:
    read, unread = Meter(0.0), Meter(0.0)
    for second in range(1, 61):
        read.mark(10, float(second))
        unread.mark(10, float(second))
        read.as_json(second + 0.5)
    assert read.as_json(70.0) == unread.as_json(70.0)
