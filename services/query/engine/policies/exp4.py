"""An ensemble whose weights fall with losses.

Auer et al., "The nonstochastic multiarmed bandit problem", 2002, as the Clipper paper uses it: every arm is asked and
charged. With the fixed share of Herbster and Warmuth, "Tracking the best expert", 1998.

Weights are multiplied by exp(-eta * loss), then each arm gives away a small share, which all get equal parts of: of the
arms that answered, so that one that is away comes back with the weight that it had. With
share = S / T the regret against any sequence of best arms that changes S times in T queries is at most
((S + 1) ln K + S ln(e T / S)) / eta + eta T / 8; and no weight is ever below share / K, from where it has to rise.

It is not additive, and could not be: a sum is the same in any order, so an arm that was the best for 5,000 queries
would be relied upon until it had lost all of its lead, however bad it has become.
"""

import math
from collections.abc import Sequence

from services.common.policies import BUILT_IN
from services.query.engine.policies.bandit import proportional
from services.query.engine.policies.ensembles import Ensemble
from services.query.engine.policies.policy import Observation, State

_NAME = "weight:"


class Exp4(Ensemble):
    """Keeps `weight:{arm}`; a new arm starts with the mean of the others'."""

    PARAMETERS = BUILT_IN["exp4"].parameters

    def init(self, state: State, arms: Sequence[str]) -> State:
        """The mean weight, for arms that have none."""
        missing = [_NAME + arm for arm in arms if _NAME + arm not in state]
        if not missing:
            return {}
        known = [state[_NAME + arm] for arm in arms if _NAME + arm in state]
        return dict.fromkeys(missing, sum(known) / len(known) if known else 1.0 / len(arms))

    def begin(self, common: State, arms: Sequence[str]) -> State:
        """The common weights."""
        return {_NAME + arm: common[_NAME + arm] for arm in arms if _NAME + arm in common}

    def observe(self, state: State, arms: Sequence[str], observation: Observation) -> State:
        """Charges the arms that answered, who share among each other: what they weigh together stays the same."""
        weights = self.weights(state, arms)
        losses = {arm: loss for arm, loss in observation.losses.items() if arm in weights}
        charged = {arm: weights[arm] * math.exp(-self.parameters["eta"] * loss) for arm, loss in losses.items()}
        if charged:
            together = sum(weights[arm] for arm in charged)
            kept = (1.0 - self.parameters["share"]) * together / sum(charged.values())
            shared = self.parameters["share"] * together / len(charged)
            weights |= {arm: kept * weight + shared for arm, weight in charged.items()}
        return {**state, **{_NAME + arm: weight for arm, weight in weights.items()}}

    def weights(self, state: State, arms: Sequence[str]) -> dict[str, float]:
        """In proportion to what is kept, as these arms may be some of those that it was kept for."""
        try:
            weights = [state[_NAME + arm] for arm in arms]
        except KeyError:
            return self.weights({**state, **self.init(state, arms)}, arms)
        return dict(zip(arms, proportional(weights), strict=True))
