"""Lessons: what feedback changes in a context's state, and what became of that."""

from collections.abc import Callable, Hashable, Mapping
from enum import Enum
from typing import NamedTuple

from services.common.selection_records import NOTHING, ContextKey, State


class FeedbackStatus(Enum):
    """What became of feedback: the words of the store's scripts, of the metrics and of REST."""

    LEARNED = "learned"
    ALREADY_LEARNED = "already learned"
    UNKNOWN_QUERY = "unknown query"
    """There is no such prediction, it is too old, or the application was deleted."""
    UNAVAILABLE = "unavailable"
    """Redis did not confirm it. Repeated, it is learned once all the same, if it names a query or itself."""
    FAILED = "failed"
    """The policy or the models failed; nothing was changed."""


class Addition(NamedTuple):
    """What feedback adds to a state.

    Attributes:
        key: the context.
        once: what is learned once: a query's id, or the client's name for its feedback; None: learned each time.
        event: what the events tell of it; of JSON's types.
        increments: gives what is added, by name; finite.
        init: gives what a state lacks before anything can be added; None: nothing ever.
    """

    key: ContextKey
    once: int | str | None
    event: Mapping[str, object]
    increments: Callable[[], Mapping[str, float]]
    init: Callable[[State], Mapping[str, float]] | None = None

    @property
    def step(self) -> Hashable:
        """The same for lessons that the store learns in one step: all additions."""
        return None


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

    @property
    def step(self) -> Hashable:
        """The same for lessons that the store learns in one step: revisions of one context."""
        return self.key


Lesson = Addition | Revision


class Outcome(NamedTuple):
    """What became of a lesson.

    Attributes:
        status: that.
        state: the context's state afterwards; empty unless LEARNED or ALREADY_LEARNED.
        error: what a function of the lesson raised; None unless FAILED.
    """

    status: FeedbackStatus
    state: State = NOTHING
    error: Exception | None = None
