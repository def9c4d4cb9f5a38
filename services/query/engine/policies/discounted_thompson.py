"""Thompson sampling that finds out whether models change, and forgets if they do.

Raj and Kalyani, "Taming non-stationary bandits: a Bayesian approach", 2017: discounted Thompson sampling, whose counts
lose a part with each observation, so that the last `memory` ones count. That is as good as memory fits the changes, and
where there are none it goes on exploring for nothing. So two beliefs are kept, one that forgets and one that does not,
and how likely either is by how well it foretold the rewards (a Bayesian mixture with the fixed share of Herbster and
Warmuth, "Tracking the best expert", 1998). An arm is drawn by one of them, as likely as that.

It is not additive: what is forgotten depends on what came first.
"""

from collections.abc import Sequence

from services.common.policies import BUILT_IN
from services.query.engine.policies.bandit import Drawing, gradual
from services.query.engine.policies.policy import Observation, State
from services.query.engine.policies.rewards import borrowed, counts, sums
from services.query.engine.policies.thompson import likely_best

_CHANGING = "changing"
_FORGETFUL = "recent_"
# How likely it is before any observation that models change, and how much of that each observation brings back.
_AT_FIRST, _SHARE = 0.01, 1e-4
# A belief that is less likely has no part in a choice; its arms are not worth the computation.
_UNLIKELY = 0.02


class DiscountedThompson(Drawing):
    """Draws arms by how likely each is the best, by what is left of all observations or by all of them.

    Keeps `count:{arm}` and `reward:{arm}`, the sum of 1 - loss; `recent_count:{arm}` and `recent_reward:{arm}`, the
    same with a part 1 / memory forgotten at each observation; and `changing`, how likely it is that the latter foretell
    better. Of an arm that is away nothing is forgotten.
    """

    PARAMETERS = BUILT_IN["discounted_thompson"].parameters

    def begin(self, common: State, arms: Sequence[str]) -> State:
        """As if of what the common state knows of an arm ten observations had been made here."""
        begun = borrowed(common, arms)
        return begun | {_FORGETFUL + name: value for name, value in begun.items()}

    def shares(self, state: State, arms: Sequence[str], features: Sequence[float]) -> Sequence[float]:
        """The probability that an arm is the best, unless little is known of it."""
        changing = state.get(_CHANGING, _AT_FIRST)
        if changing < _UNLIKELY:
            shares = likely_best(state, arms)
        elif changing > 1.0 - _UNLIKELY:
            shares = likely_best(state, arms, _FORGETFUL)
        else:
            both = zip(likely_best(state, arms), likely_best(state, arms, _FORGETFUL), strict=True)
            shares = [(1.0 - changing) * lasting + changing * recent for lasting, recent in both]
        return gradual(shares, counts(state, arms))

    def observe(self, state: State, arms: Sequence[str], observation: Observation) -> State:
        """Sees who foretold it better, forgets a part, and counts it."""
        after = dict(state)
        changing = state.get(_CHANGING, _AT_FIRST)
        kept = 1.0 - 1.0 / self.parameters["memory"]
        for arm in arms:
            if arm not in observation.away:
                for name in (_FORGETFUL + "count:" + arm, _FORGETFUL + "reward:" + arm):
                    after[name] = kept * state.get(name, 0.0)
        for arm, loss in observation.losses.items():
            lasting, recent = (_foretold(state, arm, 1.0 - loss, prefix) for prefix in ("", _FORGETFUL))
            changing = changing * recent / (changing * recent + (1.0 - changing) * lasting)
            for prefix in ("", _FORGETFUL):
                for name, more in ((f"{prefix}count:{arm}", 1.0), (f"{prefix}reward:{arm}", 1.0 - loss)):
                    after[name] = after.get(name, 0.0) + more
        after[_CHANGING] = (1.0 - _SHARE) * changing + _SHARE * _AT_FIRST
        return after


def _foretold(state: State, arm: str, reward: float, prefix: str) -> float:
    """How likely a belief held a reward to be."""
    (count,), (total,) = counts(state, [arm], prefix), sums(state, [arm], prefix)
    mean = (1.0 + total) / (2.0 + count)
    likelihood: float = mean**reward * (1.0 - mean) ** (1.0 - reward)
    return likelihood
