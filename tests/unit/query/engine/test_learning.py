"""How the engine learns from feedback: which predictions it finds, what it hands to the store, and what it tells."""

import math
from typing import Any

import pytest

from services.common.errors import ModelFailed, NoCapacity, StoreUnavailable
from services.common.lessons import FeedbackStatus, Outcome
from services.common.selection_records import PredictionRecord, QueryKey, Recorded
from services.query.engine.feedback import Feedback, FeedbackItem, FeedbackRequest
from services.query.engine.requests import Request
from tests.fixtures.choices import REGISTRATION, Choices, key
from tests.fixtures.worlds import START_MS

_LEARNED, _UNKNOWN = FeedbackStatus.LEARNED, FeedbackStatus.UNKNOWN_QUERY
_RIGHT = FeedbackItem(query_id=0, label="answer to x")


def _predicted(world: Choices, context: str = "ann") -> Request:
    """A request that was answered by the model b."""
    request = world.ask(b"x", context=context)
    world.read(key(context), {})
    world.answer_all()
    return request


def _only_b(**attributes: Any) -> Choices:
    return Choices("static", policy_parameters=(("b", 1.0),), **attributes)


def _one(request: FeedbackRequest) -> Feedback:
    (feedback,) = request.feedback
    return feedback


def _elsewhere(world: Choices, application: str = "app", registration: int = REGISTRATION) -> Recorded:
    """A prediction that another query service has recorded."""
    record = PredictionRecord(
        key()._replace(application=application, registration=registration), 9, 0.5, {"a": "1"}, "1", False, ("a",)
    )
    return Recorded(record, START_MS + round(world.now_s * 1e3) - 500)


# Which prediction


def test_a_prediction_of_the_last_seconds_is_learned_from_without_asking_the_store_for_it() -> None:
    world = _only_b()
    _predicted(world)
    told = world.tell(_RIGHT)
    assert world.joins == []
    assert world.lessons == told.feedback
    lesson = world.lessons[0].lesson
    assert lesson is not None
    assert (lesson.key, lesson.once) == (key("ann"), 0)
    assert lesson.event["predicted_at_ms"] == lesson.event["at_ms"] == START_MS


def test_an_older_one_is_asked_for() -> None:
    world = _only_b()
    _predicted(world)
    world.pass_time(5.1)
    told = world.tell(_RIGHT)
    assert world.joins == told.feedback
    assert world.joins[0].query == QueryKey("app", REGISTRATION, 0)


def test_one_that_the_store_does_not_know_yet_is_looked_for_thrice_more() -> None:
    world = _only_b()
    told = world.tell(FeedbackItem(query_id=9, label="1"))
    world.join(_one(told), None)
    for wait_s in (0.1, 0.2, 0.3):
        assert world.engine.wake_at_s == pytest.approx(world.now_s + wait_s)
        world.pass_time(wait_s * 0.9)
        assert world.joins == []
        world.pass_time(wait_s * 0.11)
        assert world.joins == told.feedback
        assert world.taught == []
        world.join(_one(told), None)
    assert world.taught == [told]
    assert told.statuses == [_UNKNOWN]
    assert world.engine.wake_at_s == math.inf


def test_one_that_is_found_at_the_second_look_is_learned_from() -> None:
    world = _only_b()
    told = world.tell(FeedbackItem(query_id=9, label="1"))
    world.join(_one(told), None)
    world.pass_time(0.1)
    world.join(_one(told), _elsewhere(world))
    assert world.lessons == told.feedback


@pytest.mark.parametrize("owner", [("other", REGISTRATION), ("app", REGISTRATION - 1)])
def test_one_of_another_application_or_of_one_that_was_deleted_is_unknown(owner: tuple[str, int]) -> None:
    world = _only_b()
    told = world.tell(FeedbackItem(query_id=9, label="1"))
    world.join(_one(told), _elsewhere(world, *owner))
    assert (world.taught, told.statuses) == ([told], [_UNKNOWN])


@pytest.mark.parametrize("is_recent", [True, False])
def test_one_that_is_older_than_the_feedback_window_is_unknown(is_recent: bool) -> None:
    world = _only_b(feedback_window_s=1)
    if is_recent:
        _predicted(world)
    world.pass_time(1.1)
    told = world.tell(_RIGHT)
    if not is_recent:
        recorded = _elsewhere(world)
        world.join(_one(told), recorded._replace(at_ms=recorded.at_ms - 501))
    assert (world.taught, told.statuses) == ([told], [_UNKNOWN])


def test_what_the_store_holds_may_be_anything_and_harms_this_feedback_alone() -> None:
    world = _only_b()
    told = world.tell(FeedbackItem(query_id=9, label="1"), FeedbackItem(query_id=8, label="1"))
    bad, good = told.feedback
    recorded = _elsewhere(world)
    world.join(bad, recorded._replace(prediction=recorded.prediction._replace(outputs=7)))  # type: ignore[arg-type]
    world.join(good, recorded)
    world.learn(good, Outcome(_LEARNED))
    assert (world.taught, told.statuses) == ([told], [FeedbackStatus.FAILED, _LEARNED])


# What all models say to an input


def test_an_input_is_shown_to_every_model_and_counts_as_if_all_had_been_asked() -> None:
    world = _only_b()
    told = world.tell(FeedbackItem(input=b"x", label="2", context="ann"))
    assert world.asked() == ["a", "b", "c"]
    world.say({"a": "1", "b": "2", "c": "3"})
    assert (world.finished, world.predictions) == ([], [])
    assert world.lessons == told.feedback
    assert _one(told).losses == {"a": 1.0, "b": 0.0, "c": 1.0}
    assert _one(told).answer_loss is None
    lesson = _one(told).lesson
    assert lesson is not None
    assert (lesson.key, lesson.once) == (key("ann"), None)
    assert lesson.event["outputs"] == {"a": "1", "b": "2", "c": "3"}


def test_for_that_what_is_cached_is_taken() -> None:
    world = _only_b(cache_bytes=10_000)
    world.ask(b"x")
    world.answer_all()
    world.tell(FeedbackItem(input=b"x", label="2"))
    assert world.asked() == ["a", "c"]


def test_it_ends_at_its_deadline_with_what_has_come() -> None:
    world = Choices("exp4")
    told = world.tell(FeedbackItem(input=b"x", label="1"))
    world.say({"a": "1"})
    world.pass_time(1.0)
    assert world.lessons == told.feedback
    assert _one(told).losses == {"a": 0.0}


def test_an_application_with_one_model_counts_how_good_that_is_and_nobody_learns() -> None:
    world = Choices("exp4")
    world.link("b", selection_policy="single")
    told = world.tell(FeedbackItem(input=b"x", label="2"))
    world.say({"b": "2"})
    assert (world.taught, told.statuses) == ([told], [_LEARNED])
    assert (_one(told).losses, _one(told).lesson) == ({"b": 0.0}, None)


def test_without_an_answer_it_fails_for_the_reason_that_there_is() -> None:
    world = Choices("exp4", models=())
    told = world.tell(FeedbackItem(input=b"x", label="2"))
    assert (world.taught, told.statuses) == ([told], [FeedbackStatus.FAILED])
    assert isinstance(told.error, NoCapacity)
    world = Choices("exp4", models=("a",))
    told = world.tell(FeedbackItem(input=b"x", label="2"))
    world.answer(world.batches[0], {0: "no"})
    assert isinstance(told.error, ModelFailed)


# What is taught


@pytest.mark.parametrize(("policy", "adds"), [("exp3", True), ("exp4", False)])
def test_a_policy_that_adds_up_has_increments_and_another_one_observes(policy: str, adds: bool) -> None:
    world = Choices(policy)
    told = world.tell(FeedbackItem(input=b"x", label="2"))
    world.answer_all()
    lesson = _one(told).lesson
    assert lesson is not None
    assert (lesson.increments is not None, lesson.observe is None) == (adds, adds)


def test_what_was_learned_is_known_here_at_once_and_told() -> None:
    world = Choices("exp3")
    told = world.tell(FeedbackItem(input=b"x", label="2"))
    world.answer_all()
    state = {"log_weight:a": -0.1, "log_weight:b": 0.0, "log_weight:c": 0.0}
    world.learn(_one(told), Outcome(_LEARNED, state))
    assert (world.taught, told.statuses, told.error) == ([told], [_LEARNED], None)
    known = world.engine.contexts.last(key())
    assert known is not None
    assert known.state == state


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Outcome(FeedbackStatus.ALREADY_LEARNED, {"a": 1.0}), FeedbackStatus.ALREADY_LEARNED),
        (Outcome(_UNKNOWN), _UNKNOWN),
        (Outcome(FeedbackStatus.FAILED, error=ValueError("no")), FeedbackStatus.FAILED),
        (StoreUnavailable("away"), FeedbackStatus.UNAVAILABLE),
        (RuntimeError("oops"), FeedbackStatus.FAILED),
    ],
)
def test_what_was_not_learned_counts_for_no_arm(outcome: Any, status: FeedbackStatus) -> None:
    world = _only_b()
    _predicted(world)
    told = world.tell(_RIGHT)
    world.learn(_one(told), outcome)
    assert told.statuses == [status]
    assert told.error is (outcome if isinstance(outcome, Exception) else outcome.error)
    assert (_one(told).losses, _one(told).answer_loss) == ({}, None)


def test_when_the_store_cannot_tell_whether_there_is_a_prediction_feedback_may_be_repeated() -> None:
    world = _only_b()
    told = world.tell(FeedbackItem(query_id=9, label="1"))
    world.join(_one(told), StoreUnavailable("away"))
    assert (world.taught, told.statuses) == ([told], [FeedbackStatus.UNAVAILABLE])


def test_a_request_is_told_once_all_of_its_feedback_is_answered_and_holds_nothing_in_a_circle() -> None:
    world = _only_b()
    _predicted(world)
    told = world.tell(_RIGHT, FeedbackItem(query_id=9, label="1"), FeedbackItem(input=b"y", label="1"))
    recent, elsewhere, shown = told.feedback
    world.answer_all()
    world.learn(recent, Outcome(_LEARNED))
    world.learn(shown, Outcome(_LEARNED))
    assert world.taught == []
    world.join(elsewhere, _elsewhere(world))
    world.learn(elsewhere, Outcome(FeedbackStatus.ALREADY_LEARNED))
    assert world.taught == [told]
    assert told.statuses == [_LEARNED, FeedbackStatus.ALREADY_LEARNED, _LEARNED]
    assert not any(hasattr(feedback, "request") for feedback in told.feedback)
