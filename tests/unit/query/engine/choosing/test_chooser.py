"""Whom the engine asks for an application that chooses among several models, and when, in virtual time."""

from collections import Counter
from typing import Any

import pytest

from services.common.lessons import FeedbackStatus, Outcome
from services.common.names import InputType
from services.common.records import Change
from services.common.selection_records import PredictionRecord
from services.query.engine.feedback import FeedbackItem
from services.query.engine.requests import DefaultReason
from tests.fixtures.choices import Choices, key
from tests.fixtures.worlds import outputs, reasons

_CUSTOM = "tests.fixtures.choices:"


def _only(arm: str) -> dict[str, Any]:
    """An application that always asks one model while that can answer."""
    return {"policy_parameters": ((arm, 1.0),)}


# Whom it asks


def test_each_query_goes_to_the_model_that_was_chosen_for_it() -> None:
    world = Choices("static", **_only("b"))
    request = world.ask(b"x", b"y")
    assert world.asked() == ["b"]
    world.answer_all()
    assert outputs(request) == ["answer to x", "answer to y"]
    assert world.finished == [request]


def test_the_queries_of_one_request_are_chosen_for_one_by_one() -> None:
    world = Choices("epsilon_greedy", policy_parameters=(("epsilon", 1.0),), slo_s=1.0)
    request = world.ask(*(b"%d" % number for number in range(300)))
    world.answer_all()
    assert outputs(request) == [f"answer to {number}" for number in range(300)]
    chosen = Counter(prediction.chosen for prediction in world.predictions)
    assert set(chosen) == {("a",), ("b",), ("c",)}
    assert min(chosen.values()) > 60


def test_what_was_learned_decides() -> None:
    world = Choices("exp3", policy_parameters=(("gamma", 0.0),), is_read=False)
    world.engine.state_read(key(), {"log_weight:a": 0.0, "log_weight:b": 500.0, "log_weight:c": 0.0}, world.now_s)
    world.ask(b"x")
    assert world.asked() == ["b"]


def test_a_model_that_cannot_answer_is_not_chosen_while_others_can() -> None:
    world = Choices("static", **_only("b"))
    world.lose_model("b")
    request = world.ask(b"x")
    assert world.asked() in (["a"], ["c"])
    world.answer_all()
    assert outputs(request) == ["answer to x"]
    assert world.predictions[0].probability == pytest.approx(0.5)


def test_a_model_without_a_current_version_is_not_chosen() -> None:
    world = Choices("static", **_only("b"))
    world.change(Change.delete(world.configuration.current_versions["b"]))
    world.ask(b"x")
    assert world.asked() in (["a"], ["c"])


def test_when_no_model_can_answer_the_default_comes_at_once() -> None:
    world = Choices("exp3")
    for name in "abc":
        world.lose_model(name)
    request = world.ask(b"x")
    assert reasons(request) == [DefaultReason.NO_REPLICA]
    assert world.finished == [request]


def test_without_models_the_default_comes_at_once_and_is_a_prediction_that_nobody_made() -> None:
    world = Choices("exp4", models=())
    request = world.ask(b"x")
    assert reasons(request) == [DefaultReason.NO_REPLICA]
    assert world.predictions == [PredictionRecord(key(), 0, 1.0, {}, "default", True, ())]


def test_what_is_cached_is_answered_even_when_no_model_can() -> None:
    world = Choices("static", cache_bytes=10_000, **_only("b"))
    world.ask(b"x")
    world.answer_all()
    for name in "abc":
        world.lose_model(name)
    assert outputs(world.ask(b"x")) == ["answer to x"]


def test_the_batches_of_each_model_keep_to_the_objective_of_the_application() -> None:
    world = Choices("majority", slo_s=0.05)
    world.ask(b"x")
    demands = [world.engine.versions[f"{name}:1"].queue.demand for name in "abc"]
    assert [demand.objectives_s for demand in demands] == [pytest.approx([0.05])] * 3


def test_a_policy_of_ones_own_may_ask_some_of_the_models() -> None:
    world = Choices(_CUSTOM + "Custom")
    request = world.ask(b"x")
    assert world.asked() == ["a", "b"]
    world.say({"a": "from a", "b": "from b"})
    assert outputs(request) == ["from a"]
    assert world.predictions[0].probability == 0.5


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        ("FailsToSelect", "The selection policy failed: KeyError: 'oops'"),
        ("FailsToBegin", "The selection policy failed: KeyError: 'oops'"),
        ("FailsToBeMade", "cannot be made: TypeError: oops"),
        ("ChoosesNobody", "The selection policy failed: ValueError: it chose no model"),
        ("NoSuch", "cannot be imported"),
    ],
)
def test_a_policy_that_fails_is_answered_for_with_the_default_and_its_error(policy: str, says: str) -> None:
    world = Choices(_CUSTOM + policy)
    request = world.ask(b"x", b"y")
    assert reasons(request) == [DefaultReason.MODEL_ERROR] * 2
    assert says in request.queries[0].explanation
    assert world.finished == [request]
    world.ask(b"z", context="ann")
    world.read(key("ann"), {})
    assert len(world.finished) == 2


@pytest.mark.parametrize(
    ("input_type", "data", "features"),
    [
        (InputType.DOUBLES, b"\0\0\0\0\0\0\xf8\x3f" * 2, [1.5, 1.5]),
        (InputType.INTS, b"\x02\0\0\0\xff\xff\xff\xff", [2.0, -1.0]),
    ],
)
def test_a_policy_that_looks_at_inputs_sees_their_numbers(
    input_type: InputType, data: bytes, features: list[float]
) -> None:
    world = Choices("linucb", input_type=input_type)
    world.ask(data)
    world.answer(world.batches[0], output="1")
    assert list(world.predictions[0].features) == features


# What is recorded


def test_a_prediction_is_recorded_with_whom_it_asked_how_likely_that_was_and_what_came() -> None:
    world = Choices("static", **_only("b"))
    world.ask(b"x")
    assert world.predictions == []
    world.say({"b": "said"})
    assert world.predictions == [PredictionRecord(key(), 0, 1.0, {"b": "said"}, "said", False, ("b",))]


def test_a_late_answer_is_recorded_as_missing() -> None:
    world = Choices("static", **_only("b"))
    world.ask(b"x")
    world.pass_time(0.1)
    assert world.predictions == [PredictionRecord(key(), 0, 1.0, {}, "default", True, ("b",))]


def test_a_cancelled_request_is_not_recorded() -> None:
    world = Choices("static", **_only("b"))
    request = world.ask(b"x")
    world.engine.cancel(request)
    world.answer_all()
    world.pass_time(1.0)
    assert world.predictions == []
    assert world.finished == []


def test_an_application_with_one_model_and_no_policy_is_not_recorded() -> None:
    world = Choices("static")
    world.link("b", selection_policy="single")
    request = world.ask(b"x")
    world.answer_all()
    assert outputs(request) == ["answer to x"]
    assert world.predictions == []
    assert world.reads == []


# When it knows the context


def test_a_request_in_an_unknown_context_waits_for_what_was_learned_there() -> None:
    world = Choices("exp3", policy_parameters=(("gamma", 0.0),))
    request = world.ask(b"x", context="ann")
    assert world.reads == [key("ann")]
    assert world.batches == []
    world.read(key("ann"), {"log_weight:a": 0.0, "log_weight:b": 0.0, "log_weight:c": 500.0})
    assert world.asked() == ["c"]
    world.answer_all()
    assert outputs(request) == ["answer to x"]
    assert world.predictions[0].key == key("ann")


def test_requests_in_the_same_context_wait_for_the_same_read() -> None:
    world = Choices("static", **_only("b"))
    requests = [world.ask(b"%d" % number, context="ann") for number in range(3)]
    assert world.reads == [key("ann")]
    world.read(key("ann"), {})
    world.answer_all()
    assert [outputs(request) for request in requests] == [[f"answer to {number}"] for number in range(3)]


def test_a_request_waits_for_its_context_a_quarter_of_its_time_at_most() -> None:
    world = Choices("static", slo_s=0.1, **_only("b"))
    request = world.ask(b"x", context="ann")
    assert world.engine.wake_at_s == pytest.approx(0.025)
    world.pass_time(0.025)
    world.engine.dispatch(world.now_s)
    world.pass_time(0.0)
    assert world.asked() == ["b"]
    world.answer_all()
    assert outputs(request) == ["answer to x"]


def test_who_has_less_time_waits_less() -> None:
    world = Choices("static", slo_s=0.1, **_only("b"))
    world.ask(b"x", context="ann")
    world.ask(b"y", context="ann", deadline_s=0.02)
    assert world.engine.wake_at_s == pytest.approx(0.005)


def test_when_redis_is_away_requests_go_on_with_what_is_known() -> None:
    world = Choices("static", **_only("b"))
    request = world.ask(b"x", context="ann")
    world.read(key("ann"), None)
    assert world.asked() == ["b"]
    world.answer_all()
    assert outputs(request) == ["answer to x"]
    world.ask(b"y", context="ann")
    assert world.asked() == ["b"]


def test_a_client_that_goes_while_its_context_is_read_is_forgotten() -> None:
    world = Choices("static", **_only("b"))
    gone = world.ask(b"x", context="ann")
    world.engine.cancel(gone)
    world.read(key("ann"), {})
    assert world.batches == []
    assert world.engine.wake_at_s == float("inf")


def test_what_this_service_has_learned_is_known_at_once() -> None:
    world = Choices("exp3", policy_parameters=(("gamma", 0.0),))
    state = {"log_weight:a": 500.0, "log_weight:b": 0.0, "log_weight:c": 0.0}
    told = world.tell(FeedbackItem(input=b"y", context="ann", label="1"))
    world.answer_all()
    world.learn(told.feedback[0], Outcome(FeedbackStatus.LEARNED, state))
    world.ask(b"x", context="ann")
    assert world.reads == []
    assert world.asked() == ["a"]
