"""What is known of a replica's speed: how long it is busy with a batch of n inputs.

A line a·n + b, fitted by least squares with exponentially fading weights to the batches that were really sent, and the
spread of what was observed around it. The fit leans a little towards a line that charges half of the mean duration to
the inputs, which decides as long as all batches had about the same size.

The spread is kept twice, because noise may grow with a batch (a model's own) or not (a busy machine's): as a factor and
in seconds. Of two bounds that both hold for the batches seen, the lower one is believed for those not seen.
"""

import math

# The weight of a batch after the next one: the memory is about fourteen batches long.
_FADE = 0.93
_LEAN = 0.01
# The variance of the logarithm of observed over expected duration: before anything is known, and at the least.
_FIRST_VARIANCE = 0.04
_LEAST_VARIANCE = 0.0025
# What is believed before counts for so many batches.
_FIRST_WEIGHT = 6.0
# What a batch may take beyond its mean, at the least, when the spread is counted in seconds.
_LEAST_MARGIN = 1.12
# A single straggler says that there are stragglers, not how slow the next one is. This is the logarithm of how much
# longer than expected a batch is taken to have lasted at most; one that really has become slower is followed in steps.
_LARGEST_SURPRISE = 1.0
_LEAST_S = 1e-6
# 99 % of a normal distribution lie below this many standard deviations.
_NORMAL_P99 = 2.33
# Nobody knows how long a batch takes that is much larger than any seen; it is approached in steps.
_GROWTH = 2
_MEMORY_OF_LARGEST = 0.99
_NEARLY = 0.95


class LatencyModel:
    """The speed of one replica."""

    __slots__ = (
        "_durations",
        "_fixed_s",
        "_largest",
        "_per_input_s",
        "_products",
        "_sizes",
        "_squares",
        "_tail",
        "_tail_s",
        "_variance",
        "_variance_s2",
        "_weight",
    )

    def __init__(self) -> None:
        self._weight = 0.0
        self._sizes = 0.0
        self._squares = 0.0
        self._durations = 0.0
        self._products = 0.0
        self._variance = _FIRST_VARIANCE
        self._variance_s2 = 0.0
        self._largest = 0.0
        # What follows from the above, as it is asked for much more often than it changes.
        self._per_input_s = 0.0
        self._fixed_s = 0.0
        self._tail = 1.0
        self._tail_s = 0.0

    @property
    def known(self) -> bool:
        """Whether anything was observed yet."""
        return self._weight > 0.0

    def observe(self, size: int, busy_s: float) -> None:
        """Learns from a batch of `size` that kept the replica busy for `busy_s`."""
        if self.known:
            expected_s = max(self.mean_s(size), _LEAST_S)
            surprise = math.log(max(busy_s, _LEAST_S) / expected_s)
            surprise = max(-_LARGEST_SURPRISE, min(_LARGEST_SURPRISE, surprise))
            busy_s = expected_s * math.exp(surprise)
            step = 1.0 / (self._weight + _FIRST_WEIGHT)
            self._variance += step * (surprise * surprise - self._variance)
            residual_s = busy_s - expected_s
            self._variance_s2 += step * (residual_s * residual_s - self._variance_s2)
        else:
            self._variance_s2 = _FIRST_VARIANCE * busy_s * busy_s
        self._weight = self._weight * _FADE + 1.0
        self._sizes = self._sizes * _FADE + size
        self._squares = self._squares * _FADE + size * size
        self._durations = self._durations * _FADE + busy_s
        self._products = self._products * _FADE + size * busy_s
        self._largest = max(self._largest * _MEMORY_OF_LARGEST, size)
        self._fit()

    @property
    def fixed_s(self) -> float:
        """What a batch takes whatever its size."""
        return self._fixed_s

    def mean_s(self, size: int) -> float:
        """How long a batch of `size` takes on average."""
        return self._per_input_s * size + self._fixed_s

    def p99_s(self, size: int) -> float:
        """How long a batch of `size` takes at most, but for one in a hundred."""
        mean_s = self.mean_s(size)
        return min(mean_s * self._tail, mean_s * _LEAST_MARGIN + self._tail_s)

    def largest_within(self, budget_s: float) -> int:
        """The largest batch whose p99 is within `budget_s`, and that is not too far from any seen; 0 when none is."""
        if not self.known:
            return 1 if budget_s > 0.0 else 0
        return self._largest_with_mean(max(budget_s / self._tail, (budget_s - self._tail_s) / _LEAST_MARGIN))

    def twice_within(self, budget_s: float) -> int:
        """As `largest_within`, but leaves time for one such batch before it, which takes what is its mean."""
        if not self.known:
            return self.largest_within(budget_s)
        longer, margin = 1.0 + self._tail, 1.0 + _LEAST_MARGIN
        return self._largest_with_mean(max(budget_s / longer, (budget_s - self._tail_s) / margin))

    def likely_within(self, budget_s: float) -> int:
        """As `largest_within`, but for the mean instead of the p99."""
        return self._largest_with_mean(budget_s)

    def _largest_with_mean(self, mean_s: float) -> int:
        left_s = mean_s - self._fixed_s
        reach = int(self._largest * _GROWTH) + 1
        if left_s < self._per_input_s:
            return 0
        return int(min(reach, left_s / self._per_input_s)) if self._per_input_s > 0.0 else reach

    def efficient_within(self, budget_s: float) -> int:
        """The smallest batch that serves nearly as many inputs a second as the largest within `budget_s`."""
        largest = max(1, self.largest_within(budget_s))
        rate = _NEARLY * largest / max(self.mean_s(largest), _LEAST_S)
        return math.ceil(rate * self._fixed_s / (1.0 - rate * self._per_input_s))

    def stable_size(self, rate: float) -> float:
        """The smallest batch that serves `rate` inputs a second; infinity when none does."""
        left = 1.0 - rate * self._per_input_s
        return max(1, math.ceil(rate * self._fixed_s / left)) if left > 0.0 else math.inf

    def _fit(self) -> None:
        mean_size = self._sizes / self._weight
        mean_s = self._durations / self._weight
        variance = self._squares / self._weight - mean_size * mean_size
        covariance = self._products / self._weight - mean_size * mean_s
        lean = _LEAN * mean_size * mean_size
        slope = (covariance + lean * 0.5 * mean_s / mean_size) / (variance + lean)
        self._per_input_s = min(max(slope, 0.0), mean_s / mean_size)
        self._fixed_s = mean_s - self._per_input_s * mean_size
        self._tail = math.exp(_NORMAL_P99 * math.sqrt(max(self._variance, _LEAST_VARIANCE)))
        self._tail_s = _NORMAL_P99 * math.sqrt(self._variance_s2)
