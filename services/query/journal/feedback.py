"""Feedback, and what became of it."""

from collections.abc import Mapping, Sequence
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple

from services.common.records import Application
from services.common.selection_records import NOTHING, ContextKey, State
from services.query.engine.selection.policy import SelectionPolicy

_NO_OUTPUTS: Mapping[str, str] = MappingProxyType({})


class Feedback(NamedTuple):
    """How good an answer was.

    Attributes:
        application: the application, as it is registered now.
        policy: its selection policy.
        arms: its linked models.
        query_id: of the prediction; None for feedback by input.
        outputs: of feedback by input: what each arm says of it that answered.
        features: of feedback by input: the input as the policy sees it.
        context: of feedback by input; that of a prediction was recorded with it.
        label: the true output; or
        reward: how good the prediction was, from 0 to 1; without a query id there is none that it could be about.
        feedback_id: the client's name for this feedback, under which it is learned once. Without it a prediction is
            learned from once, and feedback by input each time.
    """

    application: Application
    policy: SelectionPolicy
    arms: tuple[str, ...]
    query_id: int | None = None
    outputs: Mapping[str, str] = _NO_OUTPUTS
    features: Sequence[float] = ()
    context: str = ""
    label: str | None = None
    reward: float | None = None
    feedback_id: str | None = None


class FeedbackStatus(Enum):
    """What became of feedback."""

    LEARNED = "learned"
    ALREADY_LEARNED = "already learned"
    UNKNOWN_QUERY = "unknown query"
    """There is no such prediction, it is too old, or the application was deleted."""
    UNAVAILABLE = "unavailable"
    """Redis did not confirm it. Repeated, it is learned once all the same, if it names a query or itself."""
    FAILED = "failed"
    """It makes no sense for the application, or the policy failed; nothing was changed."""


class FeedbackResult(NamedTuple):
    """What became of feedback.

    Attributes:
        status: that.
        key: the context that it was learned in; None unless LEARNED or ALREADY_LEARNED.
        state: that context's state afterwards; empty unless LEARNED or ALREADY_LEARNED.
        losses: by arm, of those that were learned from; empty unless LEARNED.
        error: what was raised, to be told by services.common.status; None unless UNAVAILABLE or FAILED.
        answer_loss: of what was answered, be it one model's output, several together or the default output; None for
            feedback by input, and unless LEARNED.
    """

    status: FeedbackStatus
    key: ContextKey | None = None
    state: State = NOTHING
    losses: Mapping[str, float] = NOTHING
    error: Exception | None = None
    answer_loss: float | None = None
