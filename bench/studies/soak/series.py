"""Memory over time, and whether it grows: the slope, and how sure that is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from statistics import NormalDist, fmean

MOST_SHARE_AN_HOUR = 0.02
"""What is called growth: less takes days to matter."""

_CONFIDENCE = 0.95
_BUCKET_S = 10.0
_HOUR_S = 3_600.0
_FEWEST_BUCKETS = 6


class Verdict(StrEnum):
    """What a series shows."""

    FLAT = "flat"
    GROWS = "grows"
    UNDECIDED = "too short to tell"


@dataclass(frozen=True, slots=True)
class Slope:
    """A straight line through a series.

    Attributes:
        bytes_an_hour: how fast it rises.
        uncertainty: by how much that may be more or less, at 95 % confidence.
        level: the mean.
    """

    bytes_an_hour: float
    uncertainty: float
    level: float

    @property
    def surely(self) -> float:
        """By how much it rises in an hour at least, in levels."""
        return (self.bytes_an_hour - self.uncertainty) / self.level

    @property
    def verdict(self) -> Verdict:
        """Whether it rises by more than MOST_SHARE_AN_HOUR, surely, or surely not."""
        if self.bytes_an_hour + self.uncertainty <= MOST_SHARE_AN_HOUR * self.level:
            return Verdict.FLAT
        return Verdict.GROWS if self.surely > MOST_SHARE_AN_HOUR else Verdict.UNDECIDED


@dataclass(frozen=True, slots=True)
class Series:
    """Readings of one process, oldest first.

    Attributes:
        times_s: when.
        values: bytes.
    """

    times_s: list[float]
    values: list[int]

    def since(self, start_s: float) -> "Series":
        """The part from a time on."""
        kept = [(time_s, value) for time_s, value in zip(self.times_s, self.values, strict=True) if time_s >= start_s]
        return Series([time_s for time_s, _ in kept], [value for _, value in kept])

    def slope(self) -> Slope:
        """The line with the least squares through means of ten seconds each.

        Neighbours are alike, so they say less than as many strangers would: the uncertainty allows for that by the
        correlation of what the line leaves.
        """
        times_s, values = self._buckets()
        count, level = len(times_s), fmean(values)
        if count < _FEWEST_BUCKETS:
            return Slope(0.0, math.inf, level)
        middle_s = fmean(times_s)
        spread = sum((time_s - middle_s) ** 2 for time_s in times_s)
        rate = sum((t - middle_s) * (v - level) for t, v in zip(times_s, values, strict=True)) / spread
        left = [v - level - rate * (t - middle_s) for t, v in zip(times_s, values, strict=True)]
        error = math.sqrt(sum(each**2 for each in left) / (count - 2) / spread)
        quantile = NormalDist().inv_cdf((1 + _CONFIDENCE) / 2)
        return Slope(rate * _HOUR_S, quantile * error * _inflation(left) * _HOUR_S, level)

    def _buckets(self) -> tuple[list[float], list[float]]:
        buckets: dict[int, list[tuple[float, int]]] = {}
        for time_s, value in zip(self.times_s, self.values, strict=True):
            buckets.setdefault(int(time_s // _BUCKET_S), []).append((time_s, value))
        return (
            [fmean(time_s for time_s, _ in bucket) for bucket in buckets.values()],
            [fmean(value for _, value in bucket) for bucket in buckets.values()],
        )


def _inflation(left: Sequence[float]) -> float:
    """By how much the correlation of neighbours makes an error larger."""
    variance = sum(each**2 for each in left)
    if not variance:
        return 1.0
    alike = sum(one * next_one for one, next_one in pairwise(left)) / variance
    alike = min(0.9, max(0.0, alike))
    return math.sqrt((1 + alike) / (1 - alike))
