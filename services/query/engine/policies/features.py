"""Inputs as the few numbers that a contextual policy looks at."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

# What is learned grows with the square of this.
MOST_FEATURES = 32
_SEED = 1
# The squares of such numbers are finite still.
_LARGEST = 1e100


def project(values: "Sequence[float] | Floats") -> "Floats":
    """At most MOST_FEATURES finite numbers that say about the same as `values`.

    A longer input is projected on as many random directions, always the same for its length, which nearly preserves
    distances (Johnson and Lindenstrauss, 1984). What is short enough stays as it is, so this may be applied again. What
    is no number, or beyond all reason, counts as 0.

    Args:
        values: an input of numbers, of any length.
    """
    found = np.asarray(values, np.float64)
    found = np.where(abs(found) <= _LARGEST, found, 0.0)
    return _directions(len(found)) @ found if len(found) > MOST_FEATURES else found


@lru_cache(maxsize=16)
def _directions(length: int) -> "Floats":
    """Shape (MOST_FEATURES, length)."""
    seeded = np.random.default_rng([_SEED, length])
    directions: Floats = seeded.standard_normal((MOST_FEATURES, length)) / math.sqrt(MOST_FEATURES)
    return directions
