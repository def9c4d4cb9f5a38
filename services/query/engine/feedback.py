"""Feedback: what a client tells, what it teaches, and what became of it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol

from services.common.errors import InvalidInput
from services.common.lessons import Lesson
from services.common.selection_records import NOTHING, ContextKey, PredictionRecord, QueryKey, State
from services.query.engine.policies import guard
from services.query.engine.policies.losses import loss
from services.query.engine.policies.policy import AdditivePolicy, Observation, SelectionPolicy
from services.query.engine.policies.selector import LONGEST_CONTEXT, Selector

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from services.common.lessons import FeedbackStatus
    from services.common.records import Application
    from services.query.engine.versions import Route

_LONGEST_ID = LONGEST_CONTEXT
_ABOVE_QUERY_IDS = 1 << 64


class FeedbackItem(NamedTuple):
    """How good a prediction was, or what the answer to an input should be.

    Attributes:
        query_id: the prediction; or
        input: the packed input.
        context: of an input: on whose behalf; empty for nobody in particular. A prediction has its own.
        label: the true output; or
        reward: how good the prediction was, from 0 to 1.
        feedback_id: the client's own name for it, under which it is learned once; None when it has none. Without it a
            prediction is learned from once, and an input each time.
    """

    query_id: int | None = None
    input: bytes | None = None
    context: str = ""
    label: str | None = None
    reward: float | None = None
    feedback_id: str | None = None

    @property
    def once(self) -> int | str | None:
        """What is learned once; None: it is learned each time."""
        return self.query_id if self.feedback_id is None else self.feedback_id

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

    def loss(self, application: Application, output: str) -> float:
        """How wrong it says an output is, from 0 to 1; for an application that can make sense of it."""
        if self.label is None:
            return 1.0 - (self.reward or 0.0)
        return loss(application.loss, self.label, output, application.loss_scale)

    def _check_reward(self, reward: float) -> None:
        if self.input is not None:
            raise InvalidInput("A reward is for a prediction: it needs the query id")
        if not 0.0 <= reward <= 1.0:
            raise InvalidInput(f"A reward is from 0 to 1, but it is {reward}")


class Teller(Protocol):
    """Who told feedback, as the engine's driver needs it."""

    def deliver(self, request: FeedbackRequest) -> None:
        """Takes what became of it."""


class FeedbackRequest:
    """One call of a client: feedback on one application, answered together.

    Attributes:
        route: the application as it was when the request came.
        at_ms: when that was, in Unix time.
        caller: takes what became of it; the engine does not look at it.
        feedback: one an item.
        unanswered: of how many of them it is not known yet what becomes of them.

    Raises:
        InvalidInput: the application can make no sense of an item.
    """

    __slots__ = ("at_ms", "caller", "feedback", "route", "unanswered")

    def __init__(self, route: Route, items: Sequence[FeedbackItem], at_ms: int, caller: Teller) -> None:
        for item in items:
            item.check(route.application)
        self.route = route
        self.at_ms = at_ms
        self.caller = caller
        self.feedback = [Feedback(self, item) for item in items]
        self.unanswered = len(self.feedback)

    @property
    def statuses(self) -> list[FeedbackStatus]:
        """What became of each item, once nothing is unanswered."""
        return [feedback.status for feedback in self.feedback if feedback.status is not None]

    @property
    def error(self) -> Exception | None:
        """The first error; with one, all of it may be told again."""
        return next((feedback.error for feedback in self.feedback if feedback.error is not None), None)


class Feedback:
    """One item and, once it has a `status`, what became of it.

    Attributes:
        request: the request that it belongs to, until it is answered.
        item: what the client told.
        looks: how often its prediction was looked for in vain.
        deadline_s: when that is looked for again.
        lesson: what the store is to learn; None until that is known, and where nobody learns.
        losses: how wrong it says each arm was, by arm; empty unless LEARNED.
        answer_loss: of what was answered, be it one model's output, several together or the default output; None for
            feedback on an input, where nobody learns, and unless LEARNED.
        status: what became of it; None until that is known.
        error: why, to be told by services.common.status; None unless UNAVAILABLE or FAILED.
    """

    __slots__ = (
        "answer_loss",
        "deadline_s",
        "error",
        "item",
        "lesson",
        "looks",
        "losses",
        "request",
        "status",
    )

    def __init__(self, request: FeedbackRequest, item: FeedbackItem) -> None:
        self.request = request
        self.item = item
        self.looks = 0
        self.deadline_s = 0.0
        self.lesson: Lesson | None = None
        self.losses: Mapping[str, float] = NOTHING
        self.answer_loss: float | None = None
        self.status: FeedbackStatus | None = None
        self.error: Exception | None = None

    @property
    def unanswered(self) -> bool:
        """Whether it is not known yet what becomes of it."""
        return self.status is None

    @property
    def query(self) -> QueryKey:
        """The prediction that it is about, of those of its application; feedback on an input is about none."""
        if self.item.query_id is None:
            raise ValueError("Feedback on an input is about no prediction")
        application = self.request.route.application
        return QueryKey(application.name, application.registration, self.item.query_id)

    def judge(self, selector: Selector, prediction: PredictionRecord) -> None:
        """Notes how wrong it says the arms of a prediction were that are linked now."""
        application = selector.application
        charged = _charged(selector.policy, prediction)
        self.losses = {arm: self.item.loss(application, charged[arm]) for arm in charged if arm in selector.arms}
        if self.item.query_id is not None:
            self.answer_loss = self.item.loss(application, prediction.output)

    def teach(
        self,
        selector: Selector,
        prediction: PredictionRecord,
        predicted_at_ms: int | None,
        beginning: State = NOTHING,
    ) -> None:
        """Judges a prediction, and makes the lesson of that.

        Args:
            selector: who learns.
            prediction: what it is about.
            predicted_at_ms: when that was made, in Unix time; None for an input, which nobody predicted.
            beginning: what the context starts with if nothing was learned in it yet.
        """
        self.judge(selector, prediction)
        told = prediction.probability, prediction.features, prediction.note, prediction.away
        observation = Observation(self.losses, *told)
        event = self._event(selector.arms, prediction, predicted_at_ms)
        self.lesson = _lesson(selector, prediction.key, self.item.once, event, observation, beginning)

    def _event(
        self, arms: Sequence[str], prediction: PredictionRecord, predicted_at_ms: int | None
    ) -> dict[str, object]:
        return {
            "event": "feedback",
            "at_ms": self.request.at_ms,
            "query_id": self.item.query_id,
            "context": prediction.key.context,
            "chosen": prediction.chosen,
            "probability": prediction.probability,
            "outputs": dict(prediction.outputs),
            "output": None if predicted_at_ms is None else prediction.output,
            "default": prediction.is_default,
            "features": prediction.features,
            "predicted_at_ms": predicted_at_ms,
            "arms": arms,
            "feedback_id": self.item.feedback_id,
            "label": self.item.label,
            "reward": self.item.reward,
            "losses": self.losses,
        }


def _charged(policy: SelectionPolicy, prediction: PredictionRecord) -> dict[str, str]:
    """The output that each arm is charged with: its own; or the default output, if that was all it brought about."""
    outputs = dict(prediction.outputs)
    if prediction.is_default and not policy.asks_all:
        for arm in prediction.chosen:
            outputs.setdefault(arm, prediction.output)
    return outputs


def _lesson(
    selector: Selector,
    key: ContextKey,
    once: int | str | None,
    event: Mapping[str, object],
    observation: Observation,
    beginning: State,
) -> Lesson:
    """What the policy makes of an observation: functions, since they are anybody's code and may take their time."""
    policy, arms = selector.policy, selector.arms
    has_init = type(policy).init is not SelectionPolicy.init

    def init(state: State) -> State:
        begun = NOTHING if state else beginning
        return {**begun, **guard.init(policy, {**state, **begun}, arms)}

    if isinstance(policy, AdditivePolicy) and policy.additive:
        lacks = init if has_init or beginning else None
        return Lesson(key, once, event, partial(guard.increments, policy, arms, observation), lacks)

    def observe(state: State) -> State:
        return guard.observe(policy, {**state, **init(state)}, arms, observation)

    return Lesson(key, once, event, observe=observe)
