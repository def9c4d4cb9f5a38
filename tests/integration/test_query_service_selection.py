"""A query service that chooses among models and learns from feedback: real Redis, real containers, native gRPC."""

import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any, NamedTuple

import grpc
import pytest
from clipper.v1 import query_service_pb2

from tests.fixtures.choosing import ALREADY_LEARNED, LEARNED, UNKNOWN_QUERY, Choosing, Model, models
from tests.fixtures.query_services import DEFAULT_OUTPUT, Refusal, Registry, redis_in, refusal
from tests.fixtures.waiting import wait_until

_OUTPUTS = {"a": "1", "b": "2", "c": "2"}
_ALL = tuple(_OUTPUTS)
_SLO_S = 0.2
# How much later than the objective an answer may reach a client on a machine that has other things to do.
_SLACK_S = 0.03


class _World(NamedTuple):
    """Two query services on one Redis, and the models that both ask."""

    service: Choosing
    other: Choosing
    models: dict[str, Model]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_World]:
    """Applications of every kind on the models a, b and c."""
    directory = tmp_path_factory.mktemp("selection")
    with ExitStack() as stack:
        redis = stack.enter_context(redis_in(directory / "redis"))
        registry = Registry(redis)
        served = stack.enter_context(models(registry, _OUTPUTS))
        registry.add_choice("exp3", "exp3", *_ALL, use_cache=False)
        registry.add_choice("only-a", "static", *_ALL, policy_parameters=(("a", 1.0),))
        registry.add_choice("bandit", "ucb1", *_ALL, use_cache=False)
        registry.add_choice("numbers", "epsilon_greedy", *_ALL, loss="squared", loss_scale=10.0)
        registry.add_choice("majority", "majority", *_ALL, use_cache=False)
        registry.add_choice("prompt", "majority", *_ALL, slo_s=_SLO_S, use_cache=False)
        registry.add_choice("exp4", "exp4", *_ALL, use_cache=False)
        registry.add_choice("careful", "majority", *_ALL, confidence_threshold=0.9, use_cache=False)
        registry.add_choice("hasty", "majority", *_ALL, feedback_window_s=3)
        registry.add_choice("windy", "exp3", "a", "dead")
        registry.add_version("dead", "1")
        registry.add_application("single", "a")
        names = ("exp3", "only-a", "bandit", "numbers", "majority", "prompt", "exp4", "hasty", "windy", "single")
        service = stack.enter_context(Choosing(redis, directory, *names))
        other = stack.enter_context(Choosing(redis, directory, *names))
        service.wait()
        other.wait()
        yield _World(service, other, served)


@pytest.fixture(autouse=True)
def all_are_well(world: _World) -> Iterator[None]:
    """A test may make models slow or fail; afterwards they are as before."""
    yield
    for name, model in world.models.items():
        model.says, model.is_failing = _OUTPUTS[name], False
        model.may_answer.set()


def _weight(world: _World, application: str, arm: str, context: str, service: Choosing | None = None) -> float:
    """How much a policy relies on a model in a context, as one of the services tells."""
    (told,) = (service or world.service).predict(application, 0.0, context=context, explain=True)
    return float(next(each.weight for each in told.selection.arms if each.model == arm))


# Choosing


def test_a_policy_decides_which_model_answers(world: _World) -> None:
    (prediction,) = world.service.predict("only-a", 1.0)
    assert (prediction.output, prediction.is_default) == ("1", False)
    assert not prediction.HasField("confidence")
    assert not prediction.HasField("selection")


def test_who_asks_is_told_whom_the_policy_asked_and_why(world: _World) -> None:
    (prediction,) = world.service.predict("only-a", 2.0, explain=True)
    assert prediction.HasField("timing")
    assert prediction.selection.probability == 1.0
    assert [(arm.model, arm.weight, arm.asked, arm.output) for arm in prediction.selection.arms] == [
        ("a", 1.0, True, "1"),
        ("b", 0.0, False, ""),
        ("c", 0.0, False, ""),
    ]
    assert not prediction.selection.arms[1].HasField("output")


def test_the_same_is_told_in_json(world: _World) -> None:
    answer = world.service.post("majority", "predict", {"input": [3.0], "explain": True})
    assert (answer["output"], answer["default"], answer["confidence"]) == (2, False, pytest.approx(2 / 3))
    assert answer["selection"]["probability"] == 1.0
    arms = answer["selection"]["arms"]
    assert arms[0] == {"model": "a", "weight": pytest.approx(1 / 3), "asked": True, "output": 1}
    assert set(answer["timing"]) == {"cached", "queue_micros", "batch_size", "model_micros", "network_micros"}
    batch = world.service.post("majority", "predict", {"input_batch": [[4.0], [5.0]]})["batch_predictions"]
    assert [set(each) for each in batch] == [{"query_id", "output", "default", "confidence"}] * 2


def test_an_application_with_one_model_tells_nothing_of_it(world: _World) -> None:
    answer = world.service.post("single", "predict", {"input": [1.0], "explain": True, "uid": "ann"})
    assert set(answer) == {"query_id", "output", "default", "timing"}


def test_no_version_can_be_asked_for_where_a_policy_chooses(world: _World) -> None:
    refused = refusal(lambda: world.service.predict("exp3", 1.0, version="1"))
    assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_INPUT")
    assert "selection policy is 'exp3'" in refused.message


def test_a_context_that_is_too_long_is_refused(world: _World) -> None:
    refused = refusal(lambda: world.service.predict("exp3", 1.0, context="x" * 1_025))
    assert refused.message == "The context has more than 1024 characters"


# Feedback


def test_feedback_by_query_id_changes_what_the_policy_relies_on(world: _World) -> None:
    before = _weight(world, "exp3", "a", "ann")
    # So many that whom it asks, which is chance, does not matter.
    for _ in range(150):
        (prediction,) = world.service.predict("exp3", 1.0, context="ann")
        assert world.service.tell("exp3", {"query_id": prediction.query_id, "label": "2"}) == [LEARNED]
    assert _weight(world, "exp3", "a", "ann") < before / 2


def test_contexts_learn_apart(world: _World) -> None:
    world.service.tell("exp3", *({"number": 1.0, "context": "bob", "label": "1"} for _ in range(30)))
    assert _weight(world, "exp3", "a", "bob") > 0.8
    assert _weight(world, "exp3", "a", "carol") == pytest.approx(1 / 3)


def test_feedback_that_is_sent_twice_counts_once(world: _World) -> None:
    (prediction,) = world.service.predict("exp3", 1.0, context="dave")
    feedback = {"query_id": prediction.query_id, "label": "2"}
    assert world.service.tell("exp3", feedback, feedback) in ([LEARNED, ALREADY_LEARNED], [ALREADY_LEARNED, LEARNED])
    weight = _weight(world, "exp3", "b", "dave")
    assert world.other.tell("exp3", feedback) == [ALREADY_LEARNED]
    assert _weight(world, "exp3", "b", "dave") == weight


def test_feedback_with_an_id_of_its_own_counts_once(world: _World) -> None:
    feedback = {"number": 1.0, "context": "erin", "label": "1", "feedback_id": "f1"}
    assert world.service.tell("exp3", feedback) == [LEARNED]
    assert world.other.tell("exp3", feedback) == [ALREADY_LEARNED]
    assert world.other.tell("exp3", {**feedback, "feedback_id": "f2"}) == [LEARNED]


def _learned(service: Choosing, application: str, *items: dict[str, Any]) -> bool:
    """Whether feedback on what another service predicted is learned, which on a busy machine may not know it yet."""
    statuses = service.tell(application, *items)
    assert set(statuses) <= {LEARNED, UNKNOWN_QUERY, ALREADY_LEARNED}
    return UNKNOWN_QUERY not in statuses


def test_feedback_may_reach_another_query_service(world: _World) -> None:
    for _ in range(20):
        (prediction,) = world.service.predict("bandit", 1.0, context="fred")
        feedback = {"query_id": prediction.query_id, "reward": 1.0}
        wait_until(partial(_learned, world.other, "bandit", feedback))
    assert world.other.predict("bandit", 1.0, context="fred")


@pytest.mark.alone
def test_what_one_service_learned_the_other_knows_within_a_second(world: _World) -> None:
    assert _weight(world, "exp3", "a", "gina", world.other) == pytest.approx(1 / 3)
    world.service.tell("exp3", *({"number": 1.0, "context": "gina", "label": "1"} for _ in range(30)))
    learned_s = time.monotonic()
    wait_until(lambda: _weight(world, "exp3", "a", "gina", world.other) > 0.8)
    assert time.monotonic() - learned_s < 1.2


def test_an_unknown_query_id_is_said_to_be_unknown(world: _World) -> None:
    assert world.service.tell("exp3", {"query_id": 2**52, "label": "1"}) == [UNKNOWN_QUERY]


def test_a_prediction_of_another_application_is_unknown(world: _World) -> None:
    (prediction,) = world.service.predict("exp3", 1.0)
    assert world.service.tell("bandit", {"query_id": prediction.query_id, "label": "1"}) == [UNKNOWN_QUERY]


def test_feedback_after_the_window_is_on_an_unknown_query(world: _World) -> None:
    (prediction,) = world.service.predict("hasty", 1.0)
    (late,) = world.service.predict("hasty", 2.0)
    assert world.service.tell("hasty", {"query_id": prediction.query_id, "label": "1"}) == [LEARNED]
    made_s = time.monotonic()
    wait_until(lambda: time.monotonic() - made_s > 3.1)
    assert world.service.tell("hasty", {"query_id": late.query_id, "label": "1"}) == [UNKNOWN_QUERY]


def test_feedback_on_what_was_never_predicted_asks_all_models(world: _World) -> None:
    shown = {name: model.shown for name, model in world.models.items()}
    assert world.service.tell("exp3", {"number": 77.0, "context": "hugo", "label": "2"}) == [LEARNED]
    assert {name: model.shown - shown[name] for name, model in world.models.items()} == {"a": 1, "b": 1, "c": 1}
    assert _weight(world, "exp3", "a", "hugo") < 1 / 3


def test_feedback_on_an_input_needs_a_model_that_answers(world: _World) -> None:
    for model in world.models.values():
        model.is_failing = True
    refused = refusal(lambda: world.service.tell("exp3", {"number": 78.0, "label": "2"}))
    assert (refused.code, refused.reason) == (grpc.StatusCode.INTERNAL, "MODEL_ERROR")


def test_the_loss_is_the_applications(world: _World) -> None:
    world.service.tell("numbers", {"number": 1.0, "context": "ida", "label": "6"})
    metrics = world.service.metrics()
    assert metrics["app:numbers:arm:a:sum_rewards"] == {"count": pytest.approx(1 - 0.25)}
    assert metrics["app:numbers:arm:b:sum_rewards"] == {"count": pytest.approx(1 - 0.16)}


def test_bad_feedback_is_refused_as_a_whole(world: _World) -> None:
    (prediction,) = world.service.predict("exp3", 1.0, context="jack")
    good = {"query_id": prediction.query_id, "label": "2"}
    for bad, says in (
        ({"label": "2"}, "Feedback is on either a query id or an input"),
        ({"query_id": 1}, "Feedback has either a label or a reward"),
        ({"query_id": 1, "reward": 2.0}, "A reward is from 0 to 1, but it is 2.0"),
    ):
        assert refusal(lambda: world.service.tell("exp3", good, bad)) == Refusal(  # noqa: B023
            grpc.StatusCode.INVALID_ARGUMENT, "INVALID_INPUT", says
        )
    assert world.service.tell("exp3", good) == [LEARNED]


def test_feedback_for_an_unknown_application_is_not_found(world: _World) -> None:
    refused = refusal(lambda: world.service.tell("no such", {"query_id": 1, "label": "2"}))
    assert refused.code is grpc.StatusCode.NOT_FOUND


def test_feedback_that_is_no_message_is_refused(world: _World) -> None:
    call: grpc.UnaryUnaryMultiCallable[bytes, bytes]
    call = world.service.channel().unary_unary("/clipper.v1.QueryService/Feedback")
    assert refusal(lambda: call(b"\xff\xff\xff")).message == "This is not a clipper.v1.FeedbackRequest"


def test_no_feedback_is_learned_at_once(world: _World) -> None:
    assert world.service.tell("exp3") == []
    assert world.service.post("exp3", "update", {"feedback": []}) == {"feedback": []}


def test_feedback_in_json_is_answered_in_words(world: _World) -> None:
    query_id = world.service.post("exp3", "predict", {"input": [1.0], "uid": 7})["query_id"]
    assert world.service.post("exp3", "update", {"query_id": query_id, "label": 2}) == {"feedback": "learned"}
    assert world.service.post("exp3", "update", {"query_id": query_id, "label": 2}) == {"feedback": "already learned"}
    by_input = {"input": [1.0], "uid": 7, "label": 2}
    assert world.service.post("exp3", "update", by_input) == {"feedback": "learned"}
    batch = {"feedback": [by_input, {"query_id": 2**52, "reward": 1}]}
    assert world.service.post("exp3", "update", batch) == {"feedback": ["learned", "unknown query"]}


def test_a_single_unknown_query_id_is_not_found_in_json(world: _World) -> None:
    refused = refusal(lambda: world.service.post("exp3", "update", {"query_id": 2**52, "label": 1}))
    assert refused.code is grpc.StatusCode.NOT_FOUND
    assert str(2**52) in refused.message
    assert "3600 s" in refused.message


def test_an_application_with_one_model_takes_feedback_and_counts_it(world: _World) -> None:
    (prediction,) = world.service.predict("single", 1.0)
    assert world.service.tell("single", {"query_id": prediction.query_id, "label": "1"}) == [LEARNED]
    assert world.service.tell("single", {"number": 1.0, "label": "2"}) == [LEARNED]
    metrics = world.service.metrics()
    assert metrics["app:single:num_feedbacks:learned"] == {"count": 2}
    assert metrics["app:single:arm:a:mean_reward"] == {"ratio": 0.0}


# Ensembles


def _timed(world: _World, application: str, number: float) -> tuple[query_service_pb2.Prediction, float]:
    started_s = time.perf_counter()
    (prediction,) = world.service.predict(application, number)
    return prediction, time.perf_counter() - started_s


@pytest.mark.alone
def test_a_slow_member_makes_no_answer_late(world: _World) -> None:
    world.models["a"].may_answer.clear()
    latencies_s = []
    for number in range(5):
        prediction, latency_s = _timed(world, "prompt", number)
        assert prediction.output == "2"
        assert prediction.confidence == pytest.approx(2 / 3)
        latencies_s.append(latency_s)
    assert statistics.median(latencies_s) < _SLO_S + _SLACK_S
    # The member never answers; a machine may stall for a while.
    assert max(latencies_s) < 2 * _SLO_S


@pytest.mark.alone
def test_a_failing_member_makes_no_answer_wait(world: _World) -> None:
    world.models["c"].is_failing = True
    prediction, latency_s = _timed(world, "prompt", 1.0)
    assert prediction.output in ("1", "2")
    assert prediction.confidence == pytest.approx(1 / 3)
    assert latency_s < _SLO_S / 2


def test_a_dead_model_is_never_asked(world: _World) -> None:
    outputs = {world.service.predict("windy", number)[0].output for number in range(20)}
    assert outputs == {"1"}


def test_below_the_threshold_the_default_is_answered_with_the_reason(world: _World) -> None:
    (prediction,) = world.service.predict("careful", 1.0)
    assert (prediction.output, prediction.is_default) == (DEFAULT_OUTPUT, True)
    assert prediction.default_reason == query_service_pb2.DEFAULT_REASON_LOW_CONFIDENCE
    assert prediction.confidence == pytest.approx(2 / 3)
    world.models["a"].says = "2"
    (prediction,) = world.service.predict("careful", 2.0)
    assert (prediction.output, prediction.is_default, prediction.confidence) == ("2", False, 1.0)


def test_who_forbids_defaults_is_told_that_the_models_disagree(world: _World) -> None:
    refused = refusal(lambda: world.service.predict("careful", 3.0, forbid_default=True))
    assert (refused.code, refused.reason) == (grpc.StatusCode.INTERNAL, "LOW_CONFIDENCE")


def test_an_ensemble_learns_whom_to_believe(world: _World) -> None:
    assert world.service.predict("exp4", 1.0, context="kim")[0].output == "2"
    for _ in range(20):
        (prediction,) = world.service.predict("exp4", 1.0, context="kim")
        wait_until(partial(_learned, world.other, "exp4", {"query_id": prediction.query_id, "label": "1"}))
    wait_until(lambda: world.service.predict("exp4", 1.0, context="kim")[0].output == "1")
    assert _weight(world, "exp4", "a", "kim") > 0.5


# Visible


def test_whom_it_asked_and_how_good_that_was_is_in_the_metrics(world: _World) -> None:
    def selections(arm: str) -> float:
        metrics = world.service.metrics()
        return float(metrics.get(f"app:bandit:arm:{arm}:num_selections", {"count": 0})["count"])

    before = {arm: selections(arm) for arm in _ALL}
    asked = 0
    # Whom it asks is chance.
    while not all(selections(arm) > before[arm] for arm in ("a", "b")):
        (prediction,) = world.service.predict("bandit", 1.0)
        assert world.service.tell("bandit", {"query_id": prediction.query_id, "label": "2"}) == [LEARNED]
        asked += 1
    assert sum(selections(arm) - before[arm] for arm in _ALL) == asked
    metrics = world.service.metrics()
    assert metrics["app:bandit:arm:b:mean_reward"]["ratio"] > metrics["app:bandit:arm:a:mean_reward"]["ratio"]
    assert sum(metrics[f"app:bandit:arm:{arm}:weight"]["ratio"] for arm in _ALL) == pytest.approx(1.0)
    assert metrics["app:bandit:regret"]["count"] > 0
    assert metrics["internal:num_unrecorded_predictions"] == {"count": 0}


def test_several_inputs_of_one_request_are_predictions_of_their_own(world: _World) -> None:
    predictions: list[Any] = world.service.predict("exp4", 1.0, 2.0, 3.0, context="lou")
    items = [{"query_id": each.query_id, "label": "2"} for each in predictions]
    wait_until(lambda: _learned(world.other, "exp4", *items))
    assert world.other.tell("exp4", *items) == [ALREADY_LEARNED] * 3
