"""Policies that ask every arm and make one answer of what arrives in time."""

from collections.abc import Mapping, Sequence
from random import Random

from services.common.policy_parameters import BUILT_IN
from services.query.engine.policies.bandit import equal
from services.query.engine.policies.policy import (
    AdditivePolicy,
    Choice,
    Combination,
    Observation,
    SelectionPolicy,
    State,
)
from services.query.engine.policies.voting import average, vote


class Ensemble(SelectionPolicy):
    """Asks every arm; they vote or are averaged by their weights."""

    asks_all = True

    def select(self, state: State, arms: Sequence[str], features: Sequence[float], random: Random) -> Choice:
        """Everybody."""
        return Choice(tuple(arms), 1.0)

    def combine(self, state: State, arms: Sequence[str], outputs: Mapping[str, str]) -> Combination:
        """As `combination` says: voting.vote or voting.average."""
        weights = self.weights(state, arms)
        if self.combination == "average":
            return average(weights, outputs, self.parameters["tolerance"])
        return vote(weights, outputs)


class _Equals(Ensemble, AdditivePolicy):
    """All arms weigh the same, and nothing is learned."""

    def increments(self, arms: Sequence[str], observation: Observation) -> Mapping[str, float]:
        """Nothing."""
        return {}

    def weights(self, state: State, arms: Sequence[str]) -> Mapping[str, float]:
        """The same for each."""
        return dict(zip(arms, equal(len(arms)), strict=True))


class Majority(_Equals):
    """What most arms say, whatever the application's `combine`."""

    def __init__(self, parameters: Mapping[str, float], combine: str = "vote") -> None:
        super().__init__(parameters, "vote")


class Average(_Equals):
    """The mean of what the arms say, whatever the application's `combine`."""

    PARAMETERS = BUILT_IN["average"]

    def __init__(self, parameters: Mapping[str, float], combine: str = "average") -> None:
        super().__init__(parameters, "average")
