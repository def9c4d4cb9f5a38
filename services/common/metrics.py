"""Instruments that a service counts with, cheap enough for its hot path.

They keep plain numbers. Two forms are read from them: the JSON of `GET /metrics`, as Clipper has always had it (but
with numbers as numbers), and Prometheus samples. They take no lock: whoever writes sees to it that one thread writes at
a time.
"""

import math
from bisect import bisect_left
from collections import Counter as Tally
from collections.abc import Iterable
from typing import Self

# Sixteen buckets an octave: a quantile read from them is right to within 5 %, for values of 1 and more.
_STEPS_AN_OCTAVE = 16


class Histogram:
    """A distribution of non-negative values, exact in count, sum and extremes, within 5 % in its quantiles."""

    __slots__ = ("_buckets", "count", "maximum", "minimum", "sum", "sum_of_squares")

    def __init__(self) -> None:
        self._buckets: Tally[int] = Tally()
        self.count = 0
        self.sum = 0.0
        self.sum_of_squares = 0.0
        self.minimum = math.inf
        self.maximum = 0.0

    @classmethod
    def total(cls, histograms: Iterable[Self]) -> Self:
        """One that holds what all of them hold."""
        total = cls()
        for histogram in histograms:
            total._buckets.update(histogram._buckets)
            total.count += histogram.count
            total.sum += histogram.sum
            total.sum_of_squares += histogram.sum_of_squares
            total.minimum = min(total.minimum, histogram.minimum)
            total.maximum = max(total.maximum, histogram.maximum)
        return total

    def record(self, value: float) -> None:
        """Adds a value."""
        self._buckets[_bucket(value)] += 1
        self.count += 1
        self.sum += value
        self.sum_of_squares += value * value
        if value < self.minimum:
            self.minimum = value
        if value > self.maximum:
            self.maximum = value

    def quantile(self, share: float) -> float:
        """The value below which `share` (0 to 1) of the values lie; 0 when there are none."""
        rank = share * self.count
        seen = 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen >= rank:
                return min(self.maximum, _upper(bucket))
        return 0.0

    def cumulative(self, bounds: list[float]) -> list[int]:
        """How many values lie at or below each bound; as exact as the buckets are fine."""
        at_most = [0] * len(bounds)
        for bucket, count in list(self._buckets.items()):
            for place in range(bisect_left(bounds, _upper(bucket) * 0.999), len(bounds)):
                at_most[place] += count
        return at_most

    def as_json(self, unit: str) -> dict[str, object]:
        """Unit, size, extremes, mean, standard deviation, p50, p95, p99."""
        mean = self.sum / self.count if self.count else 0.0
        variance = self.sum_of_squares / self.count - mean * mean if self.count else 0.0
        return {
            "unit": unit,
            "size": self.count,
            "min": self.minimum if self.count else 0.0,
            "max": self.maximum,
            "mean": mean,
            "std_dev": math.sqrt(max(0.0, variance)),
            "p50": self.quantile(0.50),
            "p95": self.quantile(0.95),
            "p99": self.quantile(0.99),
        }


class Meter:
    """How many events a second: over all time, and exponentially weighted over 1, 5 and 15 minutes."""

    __slots__ = ("_rates", "_since_tick", "_started_s", "_ticked_s", "count")

    _TICK_S = 5.0
    _WINDOWS_S = (60.0, 300.0, 900.0)

    def __init__(self, now_s: float) -> None:
        self.count = 0
        self._started_s = now_s
        self._ticked_s = now_s
        self._since_tick = 0
        self._rates = [0.0, 0.0, 0.0]

    @classmethod
    def total(cls, meters: Iterable[Self], now_s: float) -> Self:
        """One that has counted what all of them have, and has their rates of `now_s` added up."""
        total = cls(now_s)
        for meter in meters:
            total.count += meter.count
            total._started_s = min(total._started_s, meter._started_s)
            total._rates = [sum(rates) for rates in zip(total._rates, meter._rates_at(now_s), strict=True)]
        return total

    def mark(self, events: int, now_s: float) -> None:
        """Counts so many events, which came at `now_s`."""
        if now_s - self._ticked_s >= self._TICK_S:
            self._tick(now_s)
        self.count += events
        self._since_tick += events

    def as_json(self, now_s: float) -> dict[str, object]:
        """Unit and the four rates."""
        elapsed_s = now_s - self._started_s
        rates = self._rates_at(now_s)
        return {
            "unit": "events per second",
            "rate": self.count / elapsed_s if elapsed_s > 0 else 0.0,
            "rate_1min": rates[0],
            "rate_5min": rates[1],
            "rate_15min": rates[2],
        }

    def _rates_at(self, now_s: float) -> list[float]:
        elapsed_s = now_s - self._ticked_s
        if elapsed_s < self._TICK_S:
            return self._rates
        rate = self._since_tick / elapsed_s
        first = self._ticked_s == self._started_s
        weights = [1.0 if first else 1.0 - math.exp(-elapsed_s / window_s) for window_s in self._WINDOWS_S]
        return [old + weight * (rate - old) for old, weight in zip(self._rates, weights, strict=True)]

    def _tick(self, now_s: float) -> None:
        self._rates = self._rates_at(now_s)
        self._ticked_s = now_s
        self._since_tick = 0


def _bucket(value: float) -> int:
    """Where a value is counted."""
    return math.ceil(_STEPS_AN_OCTAVE * math.log2(value)) if value > 1.0 else 0


def _upper(bucket: int) -> float:
    """The largest value that is counted there."""
    upper: float = 2 ** (bucket / _STEPS_AN_OCTAVE)
    return upper


def ratio(part: int, whole: int) -> float:
    """`part` of `whole`, 0 when there is no whole."""
    return part / whole if whole else 0.0
