"""Ensembles: what becomes of a request for which several models are asked, in virtual time."""

import gc

import pytest

from services.common.selection_records import PredictionRecord
from services.query.engine.requests import DefaultReason, Request, Selection
from tests.fixtures.choices import Choices, key
from tests.fixtures.worlds import outputs, reasons


def _confidence(request: Request) -> float:
    assert request.selection is not None
    return request.selection.picks[0].confidence


def test_all_members_are_asked_and_the_majority_answers() -> None:
    world = Choices("majority")
    request = world.ask(b"x")
    assert world.asked() == ["a", "b", "c"]
    world.say({"a": "1", "b": "2"})
    assert world.finished == []
    world.say({"c": "2"})
    assert outputs(request) == ["2"]
    assert _confidence(request) == pytest.approx(2 / 3)
    assert world.finished == [request]


def test_each_query_of_a_request_is_combined_by_itself() -> None:
    world = Choices("majority")
    request = world.ask(b"x", b"y")
    world.answer_all()
    assert outputs(request) == ["answer to x", "answer to y"]
    assert [prediction.query_id for prediction in world.predictions] == [0, 1]


def test_learned_weights_decide_whom_to_believe() -> None:
    world = Choices("exp4", is_read=False)
    world.engine.state_read(key(), {"weight:a": 0.9, "weight:b": 0.05, "weight:c": 0.05}, world.now_s)
    request = world.ask(b"x")
    world.say({"a": "1", "b": "2", "c": "2"})
    assert outputs(request) == ["1"]


def test_at_the_deadline_what_has_come_is_the_answer_and_the_missing_lower_the_confidence() -> None:
    world = Choices("majority")
    request = world.ask(b"x")
    world.say({"a": "1", "b": "1"})
    world.pass_time(0.1)
    assert outputs(request) == ["1"]
    assert _confidence(request) == pytest.approx(2 / 3)
    assert world.finished == [request]


def test_a_dead_member_is_not_waited_for_and_lowers_the_confidence() -> None:
    world = Choices("majority")
    world.lose_model("c")
    request = world.ask(b"x")
    world.say({"a": "1", "b": "1"})
    assert outputs(request) == ["1"]
    assert _confidence(request) == pytest.approx(2 / 3)


def test_a_member_that_dies_while_it_computes_is_not_waited_for() -> None:
    world = Choices("majority")
    request = world.ask(b"x")
    world.say({"a": "1", "b": "1"})
    world.lose_model("c")
    assert outputs(request) == ["1"]


def test_a_member_that_fails_counts_as_missing() -> None:
    world = Choices("majority")
    request = world.ask(b"x")
    world.answer(world.batches[0], failures={0: "ValueError"})
    world.say({"b": "2", "c": "2"})
    assert outputs(request) == ["2"]
    assert world.predictions[0].outputs == {"b": "2", "c": "2"}


def test_when_no_member_answers_in_time_the_default_does() -> None:
    world = Choices("majority")
    request = world.ask(b"x")
    world.pass_time(0.1)
    assert outputs(request) == ["default"]
    assert reasons(request) == [DefaultReason.DEADLINE_IN_MODEL]


def test_when_no_member_answers_the_most_telling_reason_is_told() -> None:
    world = Choices("majority")
    world.lose_model("c")
    request = world.ask(b"x")
    world.answer(world.batches[0], failures={0: "ValueError: bad"})
    world.pass_time(0.1)
    assert reasons(request) == [DefaultReason.MODEL_ERROR]
    assert request.queries[0].explanation == "ValueError: bad"


def test_below_the_threshold_the_default_is_answered_and_what_was_said_is_recorded() -> None:
    world = Choices("majority", confidence_threshold=0.9)
    request = world.ask(b"x")
    said = {"a": "1", "b": "2", "c": "2"}
    world.say(said)
    assert outputs(request) == ["default"]
    assert reasons(request) == [DefaultReason.LOW_CONFIDENCE]
    assert _confidence(request) == pytest.approx(2 / 3)
    assert world.predictions == [PredictionRecord(key(), 0, 1.0, said, "default", True, ("a", "b", "c"))]


def test_at_the_threshold_the_prediction_is_answered() -> None:
    world = Choices("majority", ("a", "b"), confidence_threshold=0.5)
    request = world.ask(b"x")
    world.say({"a": "1", "b": "2"})
    assert reasons(request) == [DefaultReason.NONE]


def test_missing_members_can_make_the_confidence_too_low() -> None:
    world = Choices("majority", confidence_threshold=0.9)
    world.lose_model("c")
    request = world.ask(b"x")
    world.say({"a": "1", "b": "1"})
    assert reasons(request) == [DefaultReason.LOW_CONFIDENCE]


def test_members_that_are_cached_are_not_asked_again() -> None:
    world = Choices("majority", cache_bytes=10_000)
    world.ask(b"x")
    world.answer_all()
    again = world.ask(b"x")
    assert world.batches == []
    assert outputs(again) == ["answer to x"]
    assert len(world.finished) == 2


def test_a_cancelled_request_takes_its_members_along() -> None:
    world = Choices("majority", cache_bytes=10_000)
    gone = world.ask(b"x")
    world.engine.cancel(gone)
    world.answer_all()
    world.pass_time(2.0)
    assert world.finished == []
    assert world.engine.wake_at_s == float("inf")


def test_a_policy_that_fails_to_combine_is_answered_for_with_its_error() -> None:
    world = Choices("tests.fixtures.choices:FailsToCombine")
    request = world.ask(b"x")
    world.answer_all()
    assert reasons(request) == [DefaultReason.MODEL_ERROR]
    assert request.queries[0].explanation == "The selection policy failed: ZeroDivisionError: oops"


def test_who_asks_is_told_where_the_time_of_the_slowest_member_went() -> None:
    world = Choices("majority", ("a", "b"))
    request = world.ask(b"x", explain=True)
    world.pass_time(0.01)
    world.answer(world.batches[0])
    world.pass_time(0.02)
    world.answer(world.batches[0], model_s=0.03)
    assert request.queries[0].spent == pytest.approx((False, 0.0, 1, 0.03, 0.0))


@pytest.mark.parametrize("is_cancelled", [True, False], ids=["cancelled", "answered"])
def test_what_a_request_needed_is_freed_without_the_garbage_collector(is_cancelled: bool) -> None:
    world = Choices("majority")
    gc.collect()
    gc.disable()
    try:
        request = world.ask(b"x")
        assert _living() == 2
        if is_cancelled:
            world.engine.cancel(request)
        world.answer_all()
        world.pass_time(1.0)
        world.finished.clear()
        del request
        assert _living() == 0
    finally:
        gc.enable()


def _living() -> int:
    # Not isinstance, which asks each object: there are tests with objects that end whoever asks.
    return sum(issubclass(type(each), Selection) for each in gc.get_objects())
