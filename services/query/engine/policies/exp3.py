"""Weights that fall with losses, of arms that are asked one at a time.

Auer, Cesa-Bianchi, Freund and Schapire, "The nonstochastic multiarmed bandit problem", 2002, with the implicit
exploration of Neu, "Explore no more", 2015.

Losses are divided by the probability p of the choice, so that on average each arm pays eta * loss a query, however
seldom it is asked; nothing is assumed about where losses come from. With gamma added to p no single loss costs more
than eta / gamma, where without it one wrong answer of an arm of probability 1e-6 would bury it for good. And an arm far
below gamma pays less than the leader does: there it stays within reach, and is back soon after the leader has become
worse.
"""

import math
from collections.abc import Mapping, Sequence

from services.common.policy_parameters import BUILT_IN
from services.query.engine.policies.bandit import Bandit, proportional
from services.query.engine.policies.policy import Observation, State

_NAME = "log_weight:"


class Exp3(Bandit):
    """Asks arms in proportion to exp(log_weight:{arm}), which an observation lowers by eta * loss / (p + gamma).

    A new arm starts with the mean of the others' weights.
    """

    PARAMETERS = BUILT_IN["exp3"]

    def init(self, state: State, arms: Sequence[str]) -> State:
        """The logarithm of the mean weight, for arms that have none."""
        missing = [arm for arm in arms if _NAME + arm not in state]
        if not missing:
            return {}
        known = [state[_NAME + arm] for arm in arms if _NAME + arm in state]
        return dict.fromkeys((_NAME + arm for arm in missing), _log_mean_exp(known))

    def shares(self, state: State, arms: Sequence[str], features: Sequence[float]) -> Sequence[float]:
        """In proportion to the weights."""
        try:
            log_weights = [state[_NAME + arm] for arm in arms]
        except KeyError:
            return self.shares({**state, **self.init(state, arms)}, arms, features)
        highest = max(log_weights)
        return proportional([math.exp(log_weight - highest) for log_weight in log_weights])

    def increments(self, arms: Sequence[str], observation: Observation) -> Mapping[str, float]:
        """What the losses cost; nothing for an arm that was right."""
        charge = -self.parameters["eta"] / (observation.probability + self.parameters["gamma"])
        return {_NAME + arm: charge * loss for arm, loss in observation.losses.items() if loss}


def _log_mean_exp(values: Sequence[float]) -> float:
    """log(mean(exp(values))), whatever their size; 0 of none."""
    if not values:
        return 0.0
    highest = max(values)
    return highest + math.log(sum(math.exp(value - highest) for value in values) / len(values))
