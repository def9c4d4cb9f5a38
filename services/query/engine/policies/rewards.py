"""What the classical bandits know of each arm: how often feedback came for it, and the sum of its rewards."""

from collections.abc import Mapping, Sequence

from services.query.engine.policies.bandit import Bandit
from services.query.engine.policies.policy import Observation, State

# What the common state is worth to a new context: so many observations of an arm.
_MOST_BORROWED = 10.0


class RewardBandit(Bandit):
    """Keeps `count:{arm}`, and `reward:{arm}` for the sum of 1 - loss."""

    def begin(self, common: State, arms: Sequence[str]) -> State:
        """As if of what the common state knows of an arm ten observations had been made here."""
        return borrowed(common, arms)

    def increments(self, arms: Sequence[str], observation: Observation) -> Mapping[str, float]:
        """One more observation and its reward, for each arm that answered."""
        changed = {}
        for arm, loss in observation.losses.items():
            changed["count:" + arm] = 1.0
            changed["reward:" + arm] = 1.0 - loss
        return changed


def counts(state: State, arms: Sequence[str], prefix: str = "") -> list[float]:
    """How many observations there are of each arm."""
    return [state.get(f"{prefix}count:{arm}", 0.0) for arm in arms]


def sums(state: State, arms: Sequence[str], prefix: str = "") -> list[float]:
    """The sum of each arm's rewards."""
    return [state.get(f"{prefix}reward:{arm}", 0.0) for arm in arms]


def borrowed(common: State, arms: Sequence[str]) -> dict[str, float]:
    """Counts and sums that say of each arm what `common` does, by ten observations at most."""
    found: dict[str, float] = {}
    for arm, count, total in zip(arms, counts(common, arms), sums(common, arms), strict=True):
        if count > 0.0:
            part = min(1.0, _MOST_BORROWED / count)
            found |= {"count:" + arm: part * count, "reward:" + arm: part * total}
    return found
