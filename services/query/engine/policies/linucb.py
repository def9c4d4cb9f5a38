"""Optimism with a view of the input: a linear model of the reward for each arm.

Li, Chu, Langford and Schapire, "A contextual-bandit approach to personalized news article recommendation", 2010: LinUCB
with disjoint models.

An arm's model is a ridge regression of its rewards on x, a constant and the input's features in standard units: less
their mean and divided by their standard deviation, of all that was observed, and by the root of their number. So the
unit of a column does not matter. What is kept are sums of z, the same in the input's own units, as standard units
change with each observation: `moment:{arm}:{i}:{j}` for i <= j of z zᵀ, and `product:{arm}:{i}` of reward · z. From
them follow mean and deviation, and as x = T z, A = I + T (Σ z zᵀ) Tᵀ and b = T (Σ reward · z). With 32 features these
are 594 numbers for each arm, so it suits applications with one context or few.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from services.common.policies import BUILT_IN
from services.query.engine.policies.bandit import Bandit, equal, gradual, greedy, proportional
from services.query.engine.policies.features import project
from services.query.engine.policies.memory import remembered
from services.query.engine.policies.policy import Observation, State

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


# What the common state is worth to a new context: so many observations of an arm.
_MOST_BORROWED = 100.0
# A column that varies by less of its size is a constant, as far as numbers of 64 bits can tell.
_CONSTANT = 1e-12


class LinUcb(Bandit):
    """Asks the arm with the highest θᵀx + alpha · sqrt(xᵀ A⁻¹ x), where θ = A⁻¹ b.

    An arm of which little is known gets a part of the queries; otherwise there is no chance: between two feedbacks
    equal inputs go to the same arm.
    """

    PARAMETERS = BUILT_IN["linucb"].parameters
    uses_features = BUILT_IN["linucb"].uses_features

    def begin(self, common: State, arms: Sequence[str]) -> State:
        """As if of what the common state knows of an arm a hundred observations had been made here."""
        borrowed = {arm: _MOST_BORROWED / max(_MOST_BORROWED, count) for arm, count in _observed(common, arms).items()}
        owners = ((name, value, name.split(":")) for name, value in common.items())
        return {name: borrowed[parts[1]] * value for name, value, parts in owners if parts[1] in borrowed}

    def shares(self, state: State, arms: Sequence[str], features: Sequence[float]) -> Sequence[float]:
        """All for the arm with the highest bound, unless little is known of it."""
        z = _regressors(features)
        known = _models(state, tuple(arms), len(z))
        x = known.transform @ z
        bounds = known.thetas @ x + self.parameters["alpha"] * np.sqrt(((known.inverses @ x) @ x).clip(0.0))
        return gradual(greedy(bounds.tolist()), known.observed)

    def increments(self, arms: Sequence[str], observation: Observation) -> Mapping[str, float]:
        """What z zᵀ and reward · z add, for each arm that answered."""
        z = _regressors(observation.features)
        moments = np.outer(z, z)[np.triu_indices(len(z))].tolist()
        changed: dict[str, float] = {}
        for arm, loss in observation.losses.items():
            names = _names(arm, len(z))
            changed.update(zip(names.moments, moments, strict=True))
            changed.update(zip(names.products, (z * (1.0 - loss)).tolist(), strict=True))
        return {name: increment for name, increment in changed.items() if increment}

    def weights(self, state: State, arms: Sequence[str]) -> Mapping[str, float]:
        """How often each arm was observed; which one is asked depends on the input."""
        observed = list(_observed(state, arms).values())
        return dict(zip(arms, proportional(observed) if any(observed) else equal(len(arms)), strict=True))


class _Names:
    """The names of an arm's sums in a state, in the order of the upper triangle and of the features."""

    def __init__(self, arm: str, features: int) -> None:
        self.moments = tuple(f"moment:{arm}:{i}:{j}" for i in range(features) for j in range(i, features))
        self.products = tuple(f"product:{arm}:{i}" for i in range(features))


_names = lru_cache(maxsize=1024)(_Names)


class _Models(NamedTuple):
    """What follows from a state.

    Attributes:
        transform: T, of shape (features, features).
        thetas: θ of each arm: shape (arms, features).
        inverses: A⁻¹ of each arm: shape (arms, features, features).
        observed: how many observations there are of each arm.
    """

    transform: "Floats"
    thetas: "Floats"
    inverses: "Floats"
    observed: Sequence[float]


@remembered(states=64)
def _models(state: State, arms: tuple[str, ...], features: int) -> _Models:
    names = [_names(arm, features) for arm in arms]
    rows, columns = np.triu_indices(features)
    moments = np.empty((len(arms), features, features))
    moments[:, rows, columns] = [[state.get(name, 0.0) for name in of.moments] for of in names]
    moments[:, columns, rows] = moments[:, rows, columns]
    products = np.array([[state.get(name, 0.0) for name in of.products] for of in names])
    transform = _standard_units(moments.sum(0))
    a, b = transform @ moments @ transform.T + np.eye(features), products @ transform.T
    # States of before sums were in the input's units: of them counts what has no unit.
    a[:, 0, 0] += [state.get(f"a:{arm}:0:0", 0.0) for arm in arms]
    b[:, 0] += [state.get(f"b:{arm}:0", 0.0) for arm in arms]
    inverses = np.linalg.inv(a).astype(np.float64)
    thetas = (inverses @ b[:, :, None])[:, :, 0]
    return _Models(transform, thetas, inverses, list(_observed(state, arms).values()))


def _standard_units(moments: "Floats") -> "Floats":
    """T, by the moments of all that was observed; constant columns become 0."""
    features = len(moments)
    transform = np.eye(features)
    count = moments[0, 0]
    if features == 1 or not count:
        return transform
    means, squares = moments[0, 1:] / count, moments.diagonal()[1:] / count
    variances = squares - means * means
    varies = variances > _CONSTANT * squares
    scales = np.zeros(features - 1)
    scales[varies] = 1.0 / np.sqrt(variances[varies] * (features - 1))
    transform[1:, 1:] = np.diag(scales)
    transform[1:, 0] = -means * scales
    return transform


def _observed(state: State, arms: Sequence[str]) -> dict[str, float]:
    return {arm: state.get(f"moment:{arm}:0:0", 0.0) + state.get(f"a:{arm}:0:0", 0.0) for arm in arms}


def _regressors(features: Sequence[float]) -> "Floats":
    """z: a constant and the features, of large ones the order of magnitude: a wild one is not to outweigh all."""
    return np.concatenate(([1.0], np.arcsinh(project(features))))
