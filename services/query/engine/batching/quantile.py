"""A line through the 99th percentile of batch durations, after Crankshaw et al., "Clipper", NSDI 2017, section 4.3.

The limit is where the line meets the batch's share of the latency objective. Quantile regression: Koenker and Bassett,
"Regression quantiles", 1978; solved by iteratively reweighted least squares, where a residual above the line weighs
99 times one below it.
"""

import math
from collections import deque
from typing import TYPE_CHECKING

import numpy as np

from services.query.engine.batching.plan import Plan, up_to
from services.query.engine.demand import Demand
from services.query.engine.queue import TaskQueue

if TYPE_CHECKING:
    from numpy.typing import NDArray

_QUANTILE = 0.99
_SHARE = 1 / 3
# Batches remembered, and how many come before the line is drawn anew.
_WINDOW = 256
_REFIT_EVERY = 16
_ITERATIONS = 15
_SMALLEST_RESIDUAL_S = 1e-6
# Nobody knows how long a batch takes that is much larger than any seen; it is approached in steps.
_GROWTH = 2


class Quantile:
    """Batches as large as the line allows.

    Args:
        largest: the limit's own limit.
    """

    __slots__ = ("_batches", "_largest", "_least_s", "_until_refit", "full_size")

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self.full_size = 1
        self._batches: deque[tuple[int, float]] = deque(maxlen=_WINDOW)
        self._until_refit = 1
        # Of a batch: nobody is answered sooner.
        self._least_s = math.inf

    def plan(self, queue: TaskQueue, replicas: int, busy_s: float, now_s: float) -> Plan:
        """At most the limit."""
        return up_to(self.full_size, queue, busy_s)

    def expected_s(self, size: int) -> float:
        """Unknown: the line is for the slowest."""
        return math.inf

    def observe(self, size: int, busy_s: float, demand: Demand) -> None:
        """Remembers the batch and, now and then, draws the line."""
        self._least_s = min(self._least_s, busy_s)
        self._batches.append((size, busy_s))
        self._until_refit -= 1
        if self._until_refit <= 0:
            # The first batches teach the most.
            self._until_refit = min(_REFIT_EVERY, len(self._batches))
            self._refit(demand.tightest_s(self._least_s) * _SHARE)

    def _refit(self, budget_s: float) -> None:
        sizes, durations_s = (np.array(values, float) for values in zip(*self._batches, strict=True))
        if sizes.min() == sizes.max():
            per_input_s, fixed_s = _line_of_one_size(float(sizes[0]), durations_s, budget_s)
        else:
            per_input_s, fixed_s = _quantile_line(sizes, durations_s)
        reach = min(self._largest, _GROWTH * int(sizes.max()) + 1)
        room_s = budget_s - fixed_s
        fits_all = room_s >= per_input_s * reach
        self.full_size = reach if fits_all else max(1, int(room_s / max(per_input_s, _SMALLEST_RESIDUAL_S)))


def _line_of_one_size(size: float, durations_s: "NDArray[np.float64]", budget_s: float) -> tuple[float, float]:
    """Seconds per input and per batch where any line through the one point would do.

    It has other sizes tried, which tell more: larger ones within the budget, smaller ones beyond it.
    """
    slowest_s = float(np.quantile(durations_s, _QUANTILE))
    return (0.0, slowest_s) if slowest_s <= budget_s else (slowest_s / size, 0.0)


def _quantile_line(sizes: "NDArray[np.float64]", durations_s: "NDArray[np.float64]") -> tuple[float, float]:
    """Seconds per input and per batch, neither below 0, of the line at the quantile of several sizes."""
    slope, intercept = 0.0, float(durations_s.mean())
    for _ in range(_ITERATIONS):
        residuals = durations_s - (slope * sizes + intercept)
        side = np.where(residuals > 0, _QUANTILE, 1 - _QUANTILE)
        weights = side / np.maximum(np.abs(residuals), _SMALLEST_RESIDUAL_S)
        total = weights.sum()
        mean_size, mean_s = (weights * sizes).sum() / total, (weights * durations_s).sum() / total
        spread = (weights * (sizes - mean_size) ** 2).sum()
        slope = max(0.0, float((weights * (sizes - mean_size) * (durations_s - mean_s)).sum() / spread))
        intercept = float(mean_s - slope * mean_size)
    return slope, max(0.0, intercept)
