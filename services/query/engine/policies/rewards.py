"""What the classical bandits know of each arm: how often feedback came for it, and the sum of its rewards."""

from collections.abc import Mapping, Sequence

from services.query.engine.policies.bandit import Bandit
from services.query.engine.policies.policy import Observation, State


class RewardBandit(Bandit):
    """Keeps `count:{arm}`, and `reward:{arm}` for the sum of 1 - loss."""

    def increments(self, arms: Sequence[str], observation: Observation) -> Mapping[str, float]:
        """One more observation and its reward, for each arm that answered."""
        changed = {}
        for arm, loss in observation.losses.items():
            changed["count:" + arm] = 1.0
            changed["reward:" + arm] = 1.0 - loss
        return changed


def counts(state: State, arms: Sequence[str]) -> list[float]:
    """How many observations there are of each arm."""
    return [state.get("count:" + arm, 0.0) for arm in arms]


def sums(state: State, arms: Sequence[str]) -> list[float]:
    """The sum of each arm's rewards."""
    return [state.get("reward:" + arm, 0.0) for arm in arms]
