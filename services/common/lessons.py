"""Lessons: what feedback changes in a context's state, and what became of that."""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import NamedTuple

from services.common.selection_records import NOTHING, ContextKey, State

Observe = Callable[[State], Mapping[str, float]]
# What is learned once, whoever tells it: an application's name, its registration, and a query's id or a client's name.
Mark = tuple[str, int, int | str]


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


class Lesson(NamedTuple):
    """What feedback adds to a state, or makes of it: it has `increments` or `observe`.

    Attributes:
        key: the context.
        once: what is learned once: a query's id, or the client's name for its feedback; None: learned each time.
        event: what the events tell of it; of JSON's types.
        increments: gives what is added, by name; finite.
        init: gives what a state lacks before anything can be added; None: nothing ever.
        observe: gives the whole state afterwards; called again when others have changed the state meanwhile.
    """

    key: ContextKey
    once: int | str | None
    event: Mapping[str, object]
    increments: Callable[[], Mapping[str, float]] | None = None
    init: Callable[[State], Mapping[str, float]] | None = None
    observe: Observe | None = None

    @property
    def mark(self) -> Mark | None:
        """What it is learned once under."""
        return None if self.once is None else (self.key.application, self.key.registration, self.once)


class Outcome(NamedTuple):
    """What became of a lesson.

    Attributes:
        status: that.
        state: the context's state afterwards; empty unless LEARNED or ALREADY_LEARNED.
        error: why; None unless FAILED or UNAVAILABLE.
    """

    status: FeedbackStatus
    state: State = NOTHING
    error: Exception | None = None
