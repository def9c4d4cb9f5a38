"""Mostly the arm with the best mean reward, now and then any.

Sutton and Barto, "Reinforcement Learning", 2018, section 2.2.
"""

from collections.abc import Sequence

from services.common.policies import BUILT_IN
from services.query.engine.policies.bandit import gradual, greedy
from services.query.engine.policies.policy import State
from services.query.engine.policies.rewards import RewardBandit, counts, sums


class EpsilonGreedy(RewardBandit):
    """Asks the best arm with probability 1 - epsilon, any arm otherwise.

    An arm without feedback counts as average, so a new one is found by exploring; one of which little is known gets a
    part of the queries.
    """

    PARAMETERS = BUILT_IN["epsilon_greedy"].parameters

    def shares(self, state: State, arms: Sequence[str], features: Sequence[float]) -> Sequence[float]:
        """The best arm's is the largest, and none below epsilon / K."""
        epsilon = self.parameters["epsilon"]
        explored = epsilon / len(arms)
        best = gradual(greedy(_means(state, arms)), counts(state, arms))
        return [explored + (1.0 - epsilon) * share for share in best]


def _means(state: State, arms: Sequence[str]) -> list[float]:
    means = [
        total / count if count > 0.0 else None
        for total, count in zip(sums(state, arms), counts(state, arms), strict=True)
    ]
    known = [mean for mean in means if mean is not None]
    average = sum(known) / len(known) if known else 0.0
    return [average if mean is None else mean for mean in means]
