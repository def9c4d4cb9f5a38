"""Optimism: the arm whose mean reward could be the highest.

Auer, Cesa-Bianchi and Fischer, "Finite-time analysis of the multiarmed bandit problem", 2002.
"""

import math
from collections.abc import Sequence

from services.common.policies import BUILT_IN
from services.query.engine.policies.bandit import gradual, greedy
from services.query.engine.policies.policy import State
from services.query.engine.policies.rewards import RewardBandit, counts, sums


class Ucb1(RewardBandit):
    """Asks the arm with the highest mean reward + exploration * sqrt(2 ln N / n), of n observations of N in all.

    An arm of which little is known gets a part of the queries; otherwise there is no chance: between two feedbacks
    every query goes to the same arm.
    """

    PARAMETERS = BUILT_IN["ucb1"].parameters

    def shares(self, state: State, arms: Sequence[str], features: Sequence[float]) -> Sequence[float]:
        """All for the arm with the highest bound, unless little is known of it."""
        observed = counts(state, arms)
        spread = self.parameters["exploration"] * math.sqrt(2.0 * math.log(max(1.0, sum(observed))))
        bounds = [
            total / count + spread / math.sqrt(count) if count > 0.0 else math.inf
            for total, count in zip(sums(state, arms), observed, strict=True)
        ]
        return gradual(greedy(bounds), observed)
