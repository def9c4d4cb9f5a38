"""Optimism: the arm whose mean reward could be the highest.

Auer, Cesa-Bianchi and Fischer, "Finite-time analysis of the multiarmed bandit problem", 2002.
"""

import math
from collections.abc import Sequence

from services.common.policy_parameters import BUILT_IN
from services.query.engine.policies.bandit import greedy
from services.query.engine.policies.policy import State
from services.query.engine.policies.rewards import RewardBandit, counts, sums


class Ucb1(RewardBandit):
    """Asks the arm with the highest mean reward + exploration * sqrt(2 ln N / n), of n observations of N in all.

    Arms without feedback come first. Without chance: between two feedbacks every query goes to the same arm.
    """

    PARAMETERS = BUILT_IN["ucb1"]

    def shares(self, state: State, arms: Sequence[str], features: Sequence[float]) -> Sequence[float]:
        """All for the arm with the highest bound."""
        observed = counts(state, arms)
        if min(observed) <= 0.0:
            return greedy([float(count <= 0.0) for count in observed])
        spread = self.parameters["exploration"] * math.sqrt(2.0 * math.log(sum(observed)))
        rewards = sums(state, arms)
        return greedy(
            [total / count + spread / math.sqrt(count) for total, count in zip(rewards, observed, strict=True)]
        )
