"""Lessons: what feedback changes in a context's state, and what became of that."""

import math
from collections.abc import Callable, Mapping
from enum import Enum
from typing import NamedTuple

from services.common.selection_records import NOTHING, ContextKey, State
from services.common.selection_store import scripts


class Addition(NamedTuple):
    """What feedback adds to a state.

    Attributes:
        key: the context.
        once: what is learned once: a query's id, or the client's name for its feedback; None: learned each time.
        event: what the events tell of it; of JSON's types.
        increments: by name; finite.
        init: gives what a state lacks before anything can be added; None: nothing ever.
    """

    key: ContextKey
    once: int | str | None
    event: Mapping[str, object]
    increments: Mapping[str, float]
    init: Callable[[State], Mapping[str, float]] | None = None


class Revision(NamedTuple):
    """What feedback makes of a state.

    Attributes:
        key: the context.
        once: as for additions.
        event: as for additions.
        observe: gives the whole state afterwards; called again when others have changed the state meanwhile.
    """

    key: ContextKey
    once: int | str | None
    event: Mapping[str, object]
    observe: Callable[[State], Mapping[str, float]]


class Verdict(Enum):
    """What became of a lesson."""

    LEARNED = scripts.LEARNED
    ALREADY_LEARNED = scripts.ALREADY_LEARNED
    GONE = scripts.GONE
    """The application is not registered, or has been registered again."""
    FAILED = -1
    """Its function raised an error, or what it gives is no state."""


class Outcome(NamedTuple):
    """What became of a lesson.

    Attributes:
        verdict: that.
        state: the context's state afterwards; empty unless LEARNED or ALREADY_LEARNED.
        error: what was raised; None unless FAILED.
    """

    verdict: Verdict
    state: State = NOTHING
    error: Exception | None = None


def finite(values: Mapping[str, float]) -> dict[str, float]:
    """What a policy gave, if Redis can keep it.

    Raises:
        ValueError: a number is not finite.
    """
    numbers = {name: float(value) for name, value in values.items()}
    for name, number in numbers.items():
        if not math.isfinite(number):
            raise ValueError(f"'{name}' would be {number} in the state of a selection policy")
    return numbers
