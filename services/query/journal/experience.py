"""What feedback says about an answer: the arms' losses, and what the policy makes of them."""

from collections.abc import Mapping
from typing import NamedTuple

from services.common.errors import InvalidInput
from services.common.selection_records import ContextKey, PredictionRecord, Recorded, State
from services.common.selection_store import Addition, Revision
from services.query.engine.selection import guard
from services.query.engine.selection.losses import loss
from services.query.engine.selection.policy import AdditivePolicy, Observation, SelectionPolicy
from services.query.journal.feedback import Feedback


class Experience(NamedTuple):
    """Feedback joined with its prediction.

    Attributes:
        key: the context to learn in.
        losses: by arm.
        answer_loss: of what was answered; None for feedback by input.
        lesson: what the store is to do.
    """

    key: ContextKey
    losses: Mapping[str, float]
    answer_loss: float | None
    lesson: Addition | Revision


def experience(feedback: Feedback, recorded: Recorded | None, now_ms: int) -> Experience:
    """Joins feedback with its prediction; None for feedback by input.

    Raises:
        InvalidInput: the feedback makes no sense for the application.
    """
    prediction = _as_if_predicted(feedback) if recorded is None else recorded.prediction
    losses = {arm: loss for arm, loss in _losses(feedback, prediction).items() if arm in feedback.arms}
    observation = Observation(losses, prediction.probability, prediction.features)
    once = feedback.feedback_id if feedback.feedback_id is not None else feedback.query_id
    event = _event(feedback, prediction, losses, now_ms, None if recorded is None else recorded.at_ms)
    answer_loss = None if recorded is None else _loss(feedback, prediction.output)
    return Experience(prediction.key, losses, answer_loss, _lesson(feedback, prediction.key, once, event, observation))


def _as_if_predicted(feedback: Feedback) -> PredictionRecord:
    """Feedback by input is about what all arms would have said."""
    if feedback.reward is not None:
        raise InvalidInput("A reward is for a prediction that was made: it needs its query id")
    key = ContextKey(feedback.application.name, feedback.application.registration, feedback.context)
    return PredictionRecord(key, 0, 1.0, feedback.outputs, "", False, feedback.arms, feedback.features)


def _losses(feedback: Feedback, prediction: PredictionRecord) -> dict[str, float]:
    outputs = dict(prediction.outputs)
    if prediction.is_default and not feedback.policy.asks_all:
        # The default output was all that the arm brought about.
        for arm in prediction.chosen:
            outputs.setdefault(arm, prediction.output)
    return {arm: _loss(feedback, output) for arm, output in outputs.items()}


def _loss(feedback: Feedback, output: str) -> float:
    if feedback.reward is not None:
        if not 0.0 <= feedback.reward <= 1.0:
            raise InvalidInput(f"A reward must be from 0 to 1, but it is {feedback.reward}")
        return 1.0 - feedback.reward
    if feedback.label is None:
        raise InvalidInput("Feedback needs a label or a reward")
    return loss(feedback.application.loss, feedback.label, output, feedback.application.loss_scale)


def _lesson(
    feedback: Feedback,
    key: ContextKey,
    once: int | str | None,
    event: Mapping[str, object],
    observation: Observation,
) -> Addition | Revision:
    policy, arms = feedback.policy, feedback.arms
    if isinstance(policy, AdditivePolicy) and policy.additive:
        has_init = type(policy).init is not SelectionPolicy.init
        init = (lambda state: guard.init(policy, state, arms)) if has_init else None
        return Addition(key, once, event, guard.increments(policy, arms, observation), init)

    def observe(state: State) -> State:
        return guard.observe(policy, {**state, **guard.init(policy, state, arms)}, arms, observation)

    return Revision(key, once, event, observe)


def _event(
    feedback: Feedback,
    prediction: PredictionRecord,
    losses: Mapping[str, float],
    now_ms: int,
    predicted_at_ms: int | None,
) -> dict[str, object]:
    is_prediction = predicted_at_ms is not None
    return {
        "event": "feedback",
        "at_ms": now_ms,
        "query_id": feedback.query_id,
        "context": prediction.key.context,
        "chosen": prediction.chosen,
        "probability": prediction.probability,
        "outputs": dict(prediction.outputs),
        "output": prediction.output if is_prediction else None,
        "default": prediction.is_default,
        "features": prediction.features,
        "predicted_at_ms": predicted_at_ms,
        "arms": feedback.arms,
        "feedback_id": feedback.feedback_id,
        "label": feedback.label,
        "reward": feedback.reward,
        "losses": losses,
    }
