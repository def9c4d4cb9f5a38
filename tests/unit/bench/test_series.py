"""Whether memory grows is said only as surely as readings allow it."""

import math
from collections.abc import Callable
from random import Random

import pytest

from bench.studies.soak.series import Series, Verdict

_MEBIBYTE = 1 << 20
_HALF_AN_HOUR_S = 1_800


def _series(value: Callable[[int], float], seconds: int = _HALF_AN_HOUR_S) -> Series:
    """Readings once a second, of so many MiB."""
    return Series(
        [float(second) for second in range(seconds)], [int(value(second) * _MEBIBYTE) for second in range(seconds)]
    )


def _wandering(step: float) -> Callable[[int], float]:
    """What goes up and down by chance, and remembers where it was, as pools and caches do."""
    random, now = Random(0), 0.0

    def value(_second: int) -> float:
        nonlocal now
        now = 0.99 * now + random.uniform(-step, step)
        return 100 + now

    return value


def test_the_slope_of_a_straight_line_is_its_own() -> None:
    slope = _series(lambda second: 100 + second / 360).slope()
    assert slope.bytes_an_hour == pytest.approx(10 * _MEBIBYTE, rel=1e-3)
    assert slope.uncertainty < 0.01 * _MEBIBYTE
    assert slope.level == pytest.approx(100 * _MEBIBYTE + 5 * _MEBIBYTE / 2, rel=1e-3)


def test_what_does_not_change_is_flat() -> None:
    slope = _series(lambda _second: 100).slope()
    assert (slope.bytes_an_hour, slope.verdict) == (0.0, Verdict.FLAT)


def test_noise_around_a_level_is_flat() -> None:
    random = Random(0)
    assert _series(lambda _second: 100 + random.uniform(-5, 5)).slope().verdict is Verdict.FLAT


def test_what_falls_is_flat() -> None:
    assert _series(lambda second: 100 - second / 360).slope().verdict is Verdict.FLAT


def test_a_leak_is_found_in_noise() -> None:
    random = Random(0)
    slope = _series(lambda second: 100 + 10 * second / 3_600 + random.uniform(-5, 5)).slope()
    assert slope.verdict is Verdict.GROWS
    assert slope.surely > 0.05


def test_what_wanders_is_not_called_growth_for_where_it_happens_to_end() -> None:
    slope = _series(_wandering(0.5)).slope()
    assert slope.uncertainty > abs(slope.bytes_an_hour) / 2
    assert slope.verdict is not Verdict.GROWS


def test_neighbours_that_are_alike_make_the_slope_less_certain() -> None:
    random = Random(0)
    wandering = _series(_wandering(0.5))
    shuffled = Series(wandering.times_s, random.sample(wandering.values, len(wandering.values)))
    spread = max(wandering.values) - min(wandering.values)
    assert spread == max(shuffled.values) - min(shuffled.values)
    assert wandering.slope().uncertainty > 5 * shuffled.slope().uncertainty


def test_less_than_a_minute_says_nothing() -> None:
    slope = _series(lambda second: 100 + second, seconds=50).slope()
    assert math.isinf(slope.uncertainty)
    assert slope.verdict is Verdict.UNDECIDED


def test_growth_that_is_likely_and_not_sure_is_left_open() -> None:
    random = Random(1)
    slope = _series(lambda second: 100 + 8 * second / 3_600 + random.uniform(-40, 40), seconds=180).slope()
    assert slope.verdict is Verdict.UNDECIDED


def test_what_was_before_a_time_does_not_count_from_then_on() -> None:
    filling = _series(lambda second: min(100, second / 9))
    assert filling.slope().verdict is Verdict.GROWS
    settled = filling.since(900)
    assert settled.times_s[0] == 900
    assert len(settled.times_s) == len(settled.values) == _HALF_AN_HOUR_S - 900
    assert settled.slope().verdict is Verdict.FLAT
