"""Weights that fall with losses, of arms that are asked one at a time.

Auer, Cesa-Bianchi, Freund and Schapire, "The nonstochastic multiarmed bandit problem", 2002, with the implicit
exploration of Neu, "Explore no more", 2015.

Losses are divided by the probability p of the choice, so that on average each arm pays eta * loss a query, however
seldom it is asked; nothing is assumed about where losses come from. With gamma added to p no single loss costs more
than eta / gamma, where without it one wrong answer of an arm of probability 1e-6 would bury it for good. And an arm far
below gamma pays less than the leader does: there it stays within reach, and is back soon after the leader has become
worse. No share is below gamma / 10, and what an arm is asked for the sake of that costs it nothing.

What one arm loses is given back to all that could be asked, in proportion: together they weigh the same as before, so
that an arm that is away comes back with the share that it had. That depends on nothing but the choice, so it adds up.

Feedback that is late teaches what the choices before it have not known, and a fast learner runs from one arm to the
next. So the rate falls with the lag, which is how many observations were learned between a choice and its own (Joulani,
Gyoergy and Szepesvari, "Online learning under delayed feedback", 2013). With each choice is noted how many had been
learned; the mean lag of n observations is what their numbers from 0 to n - 1 are more than what was noted, and a sum of
numbers is the same in any order. Weights are kept as if the rate were always eta, and a lower one is a power of
them: what is learned of the lag holds for all that was learned before.
"""

import math
from collections.abc import Mapping, Sequence

from services.common.policies import BUILT_IN
from services.query.engine.policies.bandit import Bandit, proportional
from services.query.engine.policies.policy import Observation, State

_NAME = "log_weight:"


# The rate is at most so much for each observation of lag.
_RATE_LAG = 20.0
# The least share of an arm, in units of gamma; and the most that those of all together come to.
_FLOOR, _MOST_FLOOR = 0.1, 0.1
# A weight has to be left to be given back.
_MOST_LOST = 1.0 - 1e-9


class Exp3(Bandit):
    """Asks arms in proportion to exp(pace * log_weight:{arm}); an observation lowers that by eta * loss / (p + gamma).

    The rate, pace * eta, is eta, or 20 / lag where that is less. Keeps `learned`, the number of observations, and
    `known`, the sum of how many were learned when their choices were made. A new arm starts with the mean of the
    others' weights.
    """

    PARAMETERS = BUILT_IN["exp3"].parameters

    def init(self, state: State, arms: Sequence[str]) -> State:
        """The logarithm of the mean weight, for arms that have none."""
        missing = [arm for arm in arms if _NAME + arm not in state]
        if not missing:
            return {}
        pace = self._pace(state)
        known = [pace * state[_NAME + arm] for arm in arms if _NAME + arm in state]
        return dict.fromkeys((_NAME + arm for arm in missing), _log_mean_exp(known) / pace)

    def begin(self, common: State, arms: Sequence[str]) -> State:
        """The common weights."""
        pace = self._pace(common)
        return {_NAME + arm: pace * common[_NAME + arm] for arm in arms if _NAME + arm in common}

    def shares(self, state: State, arms: Sequence[str], features: Sequence[float]) -> Sequence[float]:
        """In proportion to the weights, none below the floor."""
        try:
            pace = self._pace(state)
            log_weights = [pace * state[_NAME + arm] for arm in arms]
        except KeyError:
            return self.shares({**state, **self.init(state, arms)}, arms, features)
        highest = max(log_weights)
        weighed = proportional([math.exp(log_weight - highest) for log_weight in log_weights])
        floor = self._floor(len(arms))
        return [floor + (1.0 - floor * len(arms)) * share for share in weighed]

    def note(self, state: State) -> Sequence[float]:
        """How many observations are learned, and the pace."""
        return state.get("learned", 0.0), self._pace(state)

    def increments(self, arms: Sequence[str], observation: Observation) -> Mapping[str, float]:
        """What the losses cost those that were asked, and what that gives to all."""
        learned, pace = observation.note or (None, 1.0)
        changed = {} if learned is None else {"learned": 1.0, "known": learned}
        awake = [arm for arm in arms if arm not in observation.away]
        floor, probability = self._floor(len(awake)), observation.probability
        weighed = max(0.0, probability - floor)
        cost = self.parameters["eta"] * weighed / probability / (probability + self.parameters["gamma"])
        charges = {arm: cost * loss for arm, loss in observation.losses.items() if loss and cost}
        if charges:
            # Of several that were asked together each is taken to have had the same part.
            part = min(1.0, weighed / (1.0 - floor * len(awake))) / len(observation.losses)
            lost = part * math.fsum(-math.expm1(-pace * charge) for charge in charges.values())
            refund = -math.log1p(-min(lost, _MOST_LOST)) / pace
            changed |= {_NAME + arm: refund - charges.get(arm, 0.0) for arm in dict.fromkeys([*awake, *charges])}
        return changed

    def _pace(self, state: State) -> float:
        learned = state.get("learned", 0.0)
        lag = (learned - 1.0) / 2.0 - state.get("known", 0.0) / learned if learned else 0.0
        most = self.parameters["eta"] * lag
        return 1.0 if most <= _RATE_LAG else _RATE_LAG / most

    def _floor(self, arms: int) -> float:
        return min(_FLOOR * self.parameters["gamma"], _MOST_FLOOR / arms) if arms > 1 else 0.0


def _log_mean_exp(values: Sequence[float]) -> float:
    """log(mean(exp(values))), whatever their size; 0 of none."""
    if not values:
        return 0.0
    highest = max(values)
    return highest + math.log(sum(math.exp(value - highest) for value in values) / len(values))
