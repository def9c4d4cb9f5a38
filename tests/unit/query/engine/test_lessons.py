"""What feedback is taken to say about each arm, and the lesson that is made of it."""

import dataclasses
from collections.abc import Mapping, Sequence

import pytest

from services.common.lessons import Addition, Lesson, Revision
from services.common.selection_records import ContextKey, Recorded, State
from services.query.engine.choosing.selector import Selector
from services.query.engine.feedback import FeedbackItem, FeedbackRequest
from services.query.engine.policies.policy import Observation
from services.query.engine.versions import Route
from tests.fixtures.journals import DIGITS, Counting, Halving, feedback, key_of, prediction
from tests.fixtures.learners import Feedback

NOW_MS = 1_700_000_000_000


class Ensemble(Counting):
    """Asks all."""

    asks_all = True


class Watching(Halving):
    """Remembers what it was shown."""

    def __init__(self) -> None:
        super().__init__({})
        self.shown: list[tuple[State, Observation]] = []

    def init(self, state: State, arms: Sequence[str]) -> State:
        return {arm: 0.25 for arm in arms if arm not in state}

    def observe(self, state: State, arms: Sequence[str], observation: Observation) -> State:
        self.shown.append((state, observation))
        return super().observe(state, arms, observation)


def joined(outputs: Mapping[str, str], *, is_default: bool = False, output: str = "1") -> Recorded:
    """A prediction for which both arms were asked."""
    both = prediction(3, output)._replace(outputs=outputs, is_default=is_default, chosen=("apple", "pear"))
    return Recorded(both, NOW_MS - 1_000)


def one(is_default: bool = False) -> Recorded:
    """A prediction for which one arm was asked; it was late if a default was answered."""
    record = prediction(3, "-1" if is_default else "1", context="ann")
    return Recorded(record._replace(is_default=is_default, outputs={} if is_default else record.outputs), NOW_MS)


@dataclasses.dataclass(frozen=True)
class Experience:
    """What feedback says, and teaches."""

    losses: Mapping[str, float]
    answer_loss: float | None
    lesson: Lesson

    @property
    def key(self) -> ContextKey:
        return self.lesson.key


def experience(what: Feedback, recorded: Recorded | None) -> Experience:
    """Joins feedback with its prediction; None for feedback on an input."""
    application = dataclasses.replace(what.application, linked_models=what.arms)
    selector = Selector(application, what.policy, {})
    data = b"" if what.query_id is None else None
    item = FeedbackItem(what.query_id, data, what.context, what.label, what.reward, what.feedback_id)
    (told,) = FeedbackRequest(Route(application, None, selector), [item], NOW_MS, None).feedback
    if recorded is None:
        as_if = prediction(0, "")._replace(
            key=key_of(context=what.context),
            probability=1.0,
            outputs=what.outputs,
            chosen=what.arms,
            features=what.features,
        )
        told.teach(selector, as_if, None)
    else:
        told.teach(selector, recorded.prediction, recorded.at_ms)
    assert told.lesson is not None
    return Experience(told.losses, told.answer_loss, told.lesson)


def learned_by(experienced: Experience) -> Addition:
    assert isinstance(experienced.lesson, Addition)
    return experienced.lesson


def test_the_arm_that_answered_pays_for_its_output() -> None:
    experienced = experience(feedback(3, "2"), one())
    assert (experienced.key, experienced.losses) == (key_of(context="ann"), {"apple": 1.0})
    assert learned_by(experienced).increments() == {"count:apple": 1.0, "loss:apple": 1.0}


@pytest.mark.parametrize(("label", "loss"), [("-1", 0.0), ("1", 1.0)])
def test_an_arm_that_was_late_pays_for_the_default_output(label: str, loss: float) -> None:
    assert experience(feedback(3, label), one(is_default=True)).losses == {"apple": loss}


def test_a_reward_is_what_the_arm_that_was_asked_earned() -> None:
    for is_default in (False, True):
        assert experience(feedback(3, None, reward=0.75), one(is_default)).losses == {"apple": 0.25}


def test_of_an_ensemble_each_member_that_answered_pays_for_its_own_output() -> None:
    recorded = joined({"pear": "2"}, is_default=True, output="-1")
    assert experience(feedback(3, "1", policy=Ensemble({})), recorded).losses == {"pear": 1.0}
    recorded = joined({"apple": "1", "pear": "2"})
    assert experience(feedback(3, "1", policy=Ensemble({})), recorded).losses == {"apple": 0.0, "pear": 1.0}
    assert experience(feedback(3, None, reward=1.0), recorded).losses == {"apple": 0.0, "pear": 0.0}


def test_of_several_that_were_asked_the_silent_ones_pay_for_the_default_output() -> None:
    recorded = joined({"pear": "2"}, is_default=True, output="-1")
    assert experience(feedback(3, "2"), recorded).losses == {"apple": 1.0, "pear": 0.0}
    assert experience(feedback(3, "-1"), recorded).losses == {"apple": 0.0, "pear": 1.0}


def test_an_arm_that_was_unlinked_is_left_out() -> None:
    recorded = joined({"apple": "1", "pear": "2"})
    assert experience(feedback(3, arms=("pear", "plum")), recorded).losses == {"pear": 1.0}


def test_the_loss_is_the_applications() -> None:
    application = dataclasses.replace(DIGITS, loss="squared", loss_scale=4.0)
    assert experience(feedback(3, "3", application=application), one()).losses == {"apple": 0.25}


def test_the_policy_sees_the_choices_probability_the_features_and_a_complete_state() -> None:
    policy = Watching()
    record = one()
    record = record._replace(prediction=record.prediction._replace(probability=0.125, features=[2.0, 3.0]))
    lesson = experience(feedback(3, policy=policy), record).lesson
    assert isinstance(lesson, Revision)
    assert lesson.observe({"pear": 0.5}) == {"apple": 0.625, "pear": 0.5, "steps": 1.0}
    assert policy.shown == [({"pear": 0.5, "apple": 0.25}, Observation({"apple": 0.0}, 0.125, [2.0, 3.0]))]


def test_feedback_by_input_is_as_sure_as_if_all_arms_had_been_asked() -> None:
    policy = Watching()
    what = feedback(policy=policy, outputs={"apple": "1", "pear": "2"}, features=(4.0,), context="bob")
    experienced = experience(what, None)
    assert experienced.key == key_of(context="bob")
    assert isinstance(experienced.lesson, Revision)
    experienced.lesson.observe({})
    [(_, observation)] = policy.shown
    assert observation == Observation({"apple": 0.0, "pear": 1.0}, 1.0, (4.0,))


def test_feedback_is_known_by_its_own_name_else_by_its_query_else_not_at_all() -> None:
    by_input = feedback(outputs={"apple": "1"})
    onces = [
        experience(what, recorded).lesson.once
        for what, recorded in (
            (feedback(3), one()),
            (feedback(3, feedback_id="a"), one()),
            (by_input._replace(feedback_id="b"), None),
            (by_input, None),
        )
    ]
    assert onces == [3, "a", "b", None]
