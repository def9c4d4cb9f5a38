"""Policies that learn nothing: one model, or several in fixed proportions."""

from collections.abc import Mapping, Sequence

from services.common.policy_parameters import BUILT_IN
from services.query.engine.policies.bandit import Bandit, equal, proportional
from services.query.engine.policies.policy import Observation, State


class Single(Bandit):
    """The first arm; applications with this policy have at most one."""

    def shares(self, state: State, arms: Sequence[str], features: Sequence[float]) -> Sequence[float]:
        """All for the first."""
        return [1.0] + [0.0] * (len(arms) - 1)

    def increments(self, arms: Sequence[str], observation: Observation) -> Mapping[str, float]:
        """Nothing."""
        return {}


class Static(Bandit):
    """A/B tests and canaries: each arm gets its part of the queries.

    Parameters are the arms' weights, by name. Once any is given, an arm without one has weight 0; if none is, all weigh
    the same. An arm of weight 0 is asked only when none with a weight can answer.
    """

    PARAMETERS = BUILT_IN["static"]

    def shares(self, state: State, arms: Sequence[str], features: Sequence[float]) -> Sequence[float]:
        """In proportion to the weights."""
        weights = [self.parameters.get(arm, 0.0) for arm in arms]
        return proportional(weights) if any(weights) else equal(len(arms))

    def increments(self, arms: Sequence[str], observation: Observation) -> Mapping[str, float]:
        """Nothing."""
        return {}
