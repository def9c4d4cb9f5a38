"""Chance in proportion to belief: each arm as often as it is likely to be the best.

Thompson, "On the likelihood that one unknown probability exceeds another", 1933; Chapelle and Li, "An empirical
evaluation of Thompson sampling", 2011.

Sampling would do with a draw from each belief. Here the probabilities themselves are computed, once for each state:
what is chosen has the same distribution, another choice in the same state costs next to nothing, and its probability is
known.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from services.query.engine.policies.bandit import gradual
from services.query.engine.policies.policy import State
from services.query.engine.policies.rewards import RewardBandit, counts, sums

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

# Beliefs are looked at around their means, in their standard deviations; further away there is nothing.
_REACH = 6.0
_POINTS = np.linspace(-_REACH, _REACH, 25)
# Arms that are all in the running are close to each other, so they need no more points however many they are.
_MOST_POINTS = 250
_LEAST = 1e-12
_NEXT_TO_NOTHING = 1e-300


class Thompson(RewardBandit):
    """Believes that an arm's mean reward is Beta(1 + rewards, 1 + losses): anything, until there is feedback."""

    def shares(self, state: State, arms: Sequence[str], features: Sequence[float]) -> Sequence[float]:
        """The probability that an arm is the best, unless little is known of it."""
        return gradual(likely_best(state, arms), counts(state, arms))


def likely_best(state: State, arms: Sequence[str], prefix: str = "") -> list[float]:
    """The probability of each arm to be the best, by the counts and sums of rewards whose names begin with `prefix`."""
    observed = np.array(counts(state, arms, prefix))
    rewards = np.array(sums(state, arms, prefix)).clip(0.0, observed)
    return probabilities_of_being_largest(1.0 + rewards, 1.0 + observed - rewards)


def probabilities_of_being_largest(alphas: "Floats", betas: "Floats") -> list[float]:
    """The probability of each of some independent Beta distributions to yield the largest value; they sum to 1.

    Exact to about 0.002. The parameters, `alphas` and `betas`, must not be below 1.
    """
    sizes = alphas + betas
    means = alphas / sizes
    reaches = _REACH * np.sqrt(means * (1.0 - means) / (sizes + 1.0))
    hopeful = means + reaches >= (means - reaches).max()
    shares = np.zeros(len(means))
    shares[hopeful] = _integrals(alphas[hopeful], betas[hopeful], means[hopeful], reaches[hopeful] / _REACH)
    found: list[float] = shares.tolist()
    return found


def _integrals(alphas: "Floats", betas: "Floats", means: "Floats", deviations: "Floats") -> "Floats":
    """Of each density times all others' distribution functions, on a grid that is fine where any density is."""
    grid = (means[:, None] + deviations[:, None] * _POINTS).clip(_LEAST, 1.0 - _LEAST).ravel()
    grid.sort()
    grid = grid[:: 1 + len(grid) // _MOST_POINTS]
    middles = (grid[1:] + grid[:-1]) * 0.5
    log_densities = (alphas - 1.0)[:, None] * np.log(middles) + (betas - 1.0)[:, None] * np.log1p(-middles)
    log_densities -= log_densities.max(1, keepdims=True)
    masses = np.exp(log_densities) * (grid[1:] - grid[:-1])
    masses /= masses.sum(1, keepdims=True)
    log_below = np.log((masses.cumsum(1) - masses * 0.5).clip(_NEXT_TO_NOTHING))
    largest = (masses * np.exp(log_below.sum(0) - log_below)).sum(1)
    shares: Floats = largest / largest.sum()
    return shares
