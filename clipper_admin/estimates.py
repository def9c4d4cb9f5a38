"""What another policy would have earned, estimated from choices whose probabilities are known; pure arithmetic.

Doubly robust (Dudik, Langford and Li, "Doubly robust policy evaluation and learning", 2011): the mean reward of each
model stands for what the other policy asks, corrected by what was asked in fact, which counts the more the likelier the
other policy is to have asked it. These weights are clipped (Ionides, "Truncated importance sampling", 2008), so that no
choice of tiny probability decides alone. Intervals are of 95 %, by the bootstrap; never narrower than Wilson's for as
many events as speak for the policy, as the bootstrap knows nothing of mistakes that have not happened.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_RESAMPLES = 200
_SEED = 1
# Of 95 %, on either side, and in standard deviations.
_OUTSIDE = 0.025
_DEVIATIONS = 1.96
# Fewer events than this do not speak for a policy.
_LEAST_EVENTS = 30.0
# More choices than this that could not have been the policy's, and it is another one that is estimated.
_MOST_UNSUPPORTED = 0.02
# As good as certain.
_CERTAIN = 1.0 - 1e-9
_NEXT_TO_NOTHING = 1e-300


class Interval(NamedTuple):
    """A mean reward, from 0 to 1, between what it is with 95 %; NaN where there is no estimate."""

    value: float
    low: float
    high: float


NO_ESTIMATE = Interval(math.nan, math.nan, math.nan)


class Outcome(NamedTuple):
    """A choice, what came of it, and what another policy would have chosen.

    Attributes:
        probability: with which just this was chosen.
        chosen: the models that were asked.
        rewards: by model, from 0 to 1, of those about which that is known.
        wishes: the probability with which the other policy asks each model.
    """

    probability: float
    chosen: Sequence[str]
    rewards: Mapping[str, float]
    wishes: Mapping[str, float]

    @property
    def unsupported(self) -> float:
        """The part of the other policy's choices that could not have been made here."""
        if self.probability < _CERTAIN:
            return 0.0
        return 1.0 - math.fsum(self.wishes.get(model, 0.0) for model in self.chosen)

    @property
    def weighed(self) -> tuple[float, float]:
        """What the outcome counts, and the reward that it adds by that; neither is clipped."""
        likely = {model: self.wishes.get(model, 0.0) / self.probability for model in self.rewards}
        return math.fsum(likely.values()), math.fsum(likely[model] * reward for model, reward in self.rewards.items())


class Sample:
    """Outcomes to estimate from; at least one.

    Attributes:
        events: how many they are.
        effective_events: how many events drawn by the other policy itself would tell as much.
        unsupported: how much of the other policy's choices could not have been made.
    """

    def __init__(self, outcomes: Sequence[Outcome]) -> None:
        models = sorted({model for outcome in outcomes for model in (*outcome.wishes, *outcome.rewards)})
        wishes = np.array([[outcome.wishes.get(model, 0.0) for model in models] for outcome in outcomes])
        known = np.array([[model in outcome.rewards for model in models] for outcome in outcomes], np.float64)
        rewards = np.array([[outcome.rewards.get(model, 0.0) for model in models] for outcome in outcomes])
        inverse = known / np.array([[outcome.probability] for outcome in outcomes])
        most = math.sqrt(len(outcomes))
        weights, inverse = np.minimum(wishes * inverse, most), np.minimum(inverse, most)
        self.events = len(outcomes)
        self.unsupported = float(np.mean([outcome.unsupported for outcome in outcomes]))
        self.effective_events = _effective(weights.sum(1))
        self._models = len(models)
        parts = wishes.mean(0)
        self._effective = {
            model: _effective(weights[:, column])
            for column, model in enumerate(models)
            if parts[column] > min(_MOST_UNSUPPORTED, 0.5 * float(parts.max()))
        }
        # All that an estimate needs are sums of these.
        self._columns = np.hstack((inverse, inverse * rewards, wishes - weights, weights * rewards))

    @property
    def why_not(self) -> str:
        """Why there is no estimate; empty when there is one."""
        if self.unsupported > _MOST_UNSUPPORTED:
            never = "of its choices were never made"
            return f"{self.unsupported:.0%} {never}: another model was asked with probability 1"
        model, effective = min(self._effective.items(), key=lambda item: item[1])
        if effective < _LEAST_EVENTS:
            return (
                f"{effective:.0f} of {self.events:,} events speak for asking {model}, and it takes {_LEAST_EVENTS:.0f}"
            )
        return ""

    def doubly_robust(self, counts: "Floats | None" = None) -> float:
        """The mean reward of the outcomes, or of a sample that has each of them so often."""
        sums = self._columns.sum(0) if counts is None else counts @ self._columns
        told, earned, imputed, corrected = sums.reshape(4, self._models)
        anywhere = earned.sum() / max(told.sum(), _NEXT_TO_NOTHING)
        means = np.where(told > 0.0, earned / np.maximum(told, _NEXT_TO_NOTHING), anywhere)
        return float((imputed @ means + corrected.sum()) / self.events)


def resamples(events: int) -> "Iterator[Floats]":
    """How often each of so many events is drawn, for each of the bootstrap's samples; always the same."""
    chance = np.random.default_rng(_SEED)
    for _ in range(_RESAMPLES):
        yield np.bincount(chance.integers(events, size=events), minlength=events).astype(np.float64)


def _effective(weights: "Floats") -> float:
    squares = float(weights @ weights)
    return float(weights.sum()) ** 2 / squares if squares else 0.0


def interval(value: float, drawn: Sequence[float], effective_events: float, unsupported: float = 0.0) -> Interval:
    """Of an estimate, by what it is for the bootstrap's samples; what is unsupported may be anything from 0 to 1."""
    low, high = np.quantile(drawn, [_OUTSIDE, 1.0 - _OUTSIDE])
    lowest, highest = _wilson(min(1.0, max(0.0, value)), effective_events)
    return Interval(value, max(0.0, min(low, lowest) - unsupported), min(1.0, max(high, highest) + unsupported))


def _wilson(value: float, events: float) -> tuple[float, float]:
    square = _DEVIATIONS**2
    middle = (value + square / (2.0 * events)) / (1.0 + square / events)
    reach = (
        math.sqrt(value * (1.0 - value) / events + square / (4.0 * events**2)) * _DEVIATIONS / (1.0 + square / events)
    )
    return middle - reach, middle + reach
