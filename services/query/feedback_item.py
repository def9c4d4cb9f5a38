"""Feedback as clients give it, whichever way it came, and what makes sense of it."""

from typing import NamedTuple

from services.common.errors import InvalidInput
from services.common.records import Application
from services.query.engine.selection.losses import loss
from services.query.engine.selection.selector import LONGEST_CONTEXT

_LONGEST_ID = LONGEST_CONTEXT
_ABOVE_QUERY_IDS = 1 << 64


class FeedbackItem(NamedTuple):
    """How good a prediction was, or what the answer to an input should be.

    Attributes:
        query_id: the prediction; or
        input: the packed input.
        context: of an input: on whose behalf; empty for nobody in particular.
        label: the true output; or
        reward: how good the prediction was, from 0 to 1.
        feedback_id: the client's own name for it; None when it has none.
    """

    query_id: int | None = None
    input: bytes | None = None
    context: str = ""
    label: str | None = None
    reward: float | None = None
    feedback_id: str | None = None

    def check(self, application: Application) -> None:
        """Returns if an application can make sense of it.

        Raises:
            InvalidInput: it cannot.
        """
        if (self.query_id is None) == (self.input is None):
            raise InvalidInput("Feedback is on either a query id or an input")
        if (self.label is None) == (self.reward is None):
            raise InvalidInput("Feedback has either a label or a reward")
        if self.query_id is not None and not 0 <= self.query_id < _ABOVE_QUERY_IDS:
            raise InvalidInput(f"{self.query_id} is no query id")
        if self.reward is not None:
            self._check_reward(self.reward)
        if self.label is not None:
            loss(application.loss, self.label, "", application.loss_scale)
        if len(self.context) > LONGEST_CONTEXT:
            raise InvalidInput(f"The context has more than {LONGEST_CONTEXT} characters")
        if self.feedback_id is not None and not 0 < len(self.feedback_id) <= _LONGEST_ID:
            raise InvalidInput(f"A feedback id has 1 to {_LONGEST_ID} characters")

    def _check_reward(self, reward: float) -> None:
        if self.input is not None:
            raise InvalidInput("A reward is for a prediction: it needs the query id")
        if not 0.0 <= reward <= 1.0:
            raise InvalidInput(f"A reward is from 0 to 1, but it is {reward}")
