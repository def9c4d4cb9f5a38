"""Optimism with a view of the input: a linear model of the reward for each arm.

Li, Chu, Langford and Schapire, "A contextual-bandit approach to personalized news article recommendation", 2010: LinUCB
with disjoint models.

An arm's model is a ridge regression of its rewards on x, a constant and the input's features: the sums A = I + Σ x xᵀ
and b = Σ reward · x, kept as `a:{arm}:{i}:{j}` for i <= j, without I, and `b:{arm}:{i}`. With 32 features these are 594
numbers for each arm, so it suits applications with one context or few.
"""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from services.common.policy_parameters import BUILT_IN
from services.query.engine.policies.bandit import Bandit, equal, greedy, proportional
from services.query.engine.policies.features import project
from services.query.engine.policies.memory import remembered
from services.query.engine.policies.policy import Observation, State

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


class LinUcb(Bandit):
    """Asks the arm with the highest θᵀx + alpha · sqrt(xᵀ A⁻¹ x), where θ = A⁻¹ b.

    Without chance: between two feedbacks equal inputs go to the same arm.
    """

    PARAMETERS = BUILT_IN["linucb"]
    uses_features = True

    def shares(self, state: State, arms: Sequence[str], features: Sequence[float]) -> Sequence[float]:
        """All for the arm with the highest bound."""
        x = _regressors(features)
        thetas, inverses = _models(state, tuple(arms), len(x))
        bounds = thetas @ x + self.parameters["alpha"] * np.sqrt(((inverses @ x) @ x).clip(0.0))
        return greedy(bounds.tolist())

    def increments(self, arms: Sequence[str], observation: Observation) -> Mapping[str, float]:
        """What x xᵀ and reward · x add, for each arm that answered."""
        x = _regressors(observation.features)
        products = np.outer(x, x)[np.triu_indices(len(x))].tolist()
        changed: dict[str, float] = {}
        for arm, loss in observation.losses.items():
            names = _names(arm, len(x))
            changed.update(zip(names.a, products, strict=True))
            changed.update(zip(names.b, (x * (1.0 - loss)).tolist(), strict=True))
        return {name: increment for name, increment in changed.items() if increment}

    def weights(self, state: State, arms: Sequence[str]) -> Mapping[str, float]:
        """How often each arm was observed; which one is asked depends on the input."""
        observed = [state.get(f"a:{arm}:0:0", 0.0) for arm in arms]
        return dict(zip(arms, proportional(observed) if any(observed) else equal(len(arms)), strict=True))


class _Names:
    """The names of an arm's sums in a state, in the order of the upper triangle and of the features."""

    def __init__(self, arm: str, features: int) -> None:
        self.a = tuple(f"a:{arm}:{i}:{j}" for i in range(features) for j in range(i, features))
        self.b = tuple(f"b:{arm}:{i}" for i in range(features))


_names = lru_cache(maxsize=1024)(_Names)


@remembered(states=64)
def _models(state: State, arms: tuple[str, ...], features: int) -> "tuple[Floats, Floats]":
    """θ and A⁻¹ of each arm: shapes (arms, features) and (arms, features, features)."""
    names = [_names(arm, features) for arm in arms]
    rows, columns = np.triu_indices(features)
    a = np.empty((len(arms), features, features))
    a[:, rows, columns] = [[state.get(name, 0.0) for name in of.a] for of in names]
    a[:, columns, rows] = a[:, rows, columns]
    b = np.array([[state.get(name, 0.0) for name in of.b] for of in names])
    inverses = np.linalg.inv(a + np.eye(features)).astype(np.float64)
    return (inverses @ b[:, :, None])[:, :, 0], inverses


def _regressors(features: Sequence[float]) -> "Floats":
    """A constant and the features, the latter of length 1 at most: one wild input is not to outweigh all others."""
    projected = project(features)
    x = np.ones(1 + len(projected))
    x[1:] = projected / max(1.0, math.sqrt(projected @ projected))
    return x
