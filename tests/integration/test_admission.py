"""What is answered without being looked at: an objective of a microsecond is over before anything can be."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from clipper.v1 import query_service_pb2
from google.api import httpbody_pb2
from google.rpc import error_details_pb2

from tests.fixtures import model_containers
from tests.fixtures.metrics import prometheus_samples
from tests.fixtures.query_services import (
    DEFAULT_OUTPUT,
    PATIENCE_S,
    QueryServiceProcess,
    Refusal,
    Registry,
    redis_in,
    refusal,
    request,
    wait_until_predicted,
)
from tests.fixtures.redis_server import RedisServer

_REASON = query_service_pb2.DEFAULT_REASON_FRONT_OVERLOADED
_EXPLANATION = "The query service is overloaded"
_REFUSED = Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "FRONT_OVERLOADED", _EXPLANATION)


def _first_numbers(inputs: Any) -> list[str]:
    return [str(each[0]) for each in inputs]


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis that knows an application that can be answered in time and one that cannot."""
    with ExitStack() as stack:
        redis = stack.enter_context(redis_in(tmp_path_factory.mktemp("redis") / "redis"))
        container = stack.enter_context(model_containers.serving(_first_numbers))
        registry = Registry(redis)
        registry.add_application("app", "m", slo_s=PATIENCE_S)
        registry.add_application("hasty", "m", slo_s=1e-6)
        registry.add_version("m", "1")
        registry.add_replica("m", "1", 0, container.address)
        yield redis


@pytest.fixture(scope="module")
def service(redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[QueryServiceProcess]:
    """A query service with both."""
    with QueryServiceProcess(redis, tmp_path_factory.mktemp("query")) as service:
        wait_until_predicted(service, request("app", [[0.0]]))
        yield service


def _question(application: str, inputs: int, *, forbid_default: bool = False) -> query_service_pb2.PredictRequest:
    question = request(application, [[float(number)] for number in range(inputs)])
    question.forbid_default = forbid_default
    return question


def _json(service: QueryServiceProcess, **body: Any) -> dict[str, Any]:
    """The document that a REST body is answered with."""
    question = query_service_pb2.PredictJsonRequest(
        application="hasty", body=httpbody_pb2.HttpBody(data=json.dumps(body).encode())
    )
    document: dict[str, Any] = json.loads(service.stub().PredictJson(question, timeout=PATIENCE_S).body.data)
    return document


def test_every_input_gets_a_default_output_with_the_reason_and_a_query_id_of_its_own(
    service: QueryServiceProcess,
) -> None:
    answers = [service.stub().Predict(_question("hasty", 300), timeout=PATIENCE_S).predictions for _ in range(3)]
    predictions = [prediction for answer in answers for prediction in answer]
    first = predictions[0]
    assert (first.output, first.is_default, first.default_reason) == (DEFAULT_OUTPUT, True, _REASON)
    assert first.default_explanation == _EXPLANATION
    assert [prediction.query_id for prediction in predictions] == [first.query_id + number for number in range(900)]
    for prediction in predictions:
        prediction.query_id = first.query_id
        assert prediction == first


def test_a_request_without_inputs_is_answered_without_predictions(service: QueryServiceProcess) -> None:
    for forbid_default in (False, True):
        answer = service.stub().Predict(_question("hasty", 0, forbid_default=forbid_default), timeout=PATIENCE_S)
        assert answer == query_service_pb2.PredictResponse()


def test_pipelined_requests_are_answered_by_their_ids_and_others_beside_them(service: QueryServiceProcess) -> None:
    asked = [(number, "app" if number % 3 else "hasty") for number in range(300)]
    questions = (
        query_service_pb2.PredictStreamRequest(request_id=number, request=_question(application, 1))
        for number, application in asked
    )
    answers = {answer.request_id: answer for answer in service.stub().PredictStream(questions, timeout=PATIENCE_S)}
    reasons = {number: answer.response.predictions[0].default_reason for number, answer in answers.items()}
    assert reasons == {number: _REASON if application == "hasty" else 0 for number, application in asked}


def test_rest_has_the_documented_answers(service: QueryServiceProcess) -> None:
    single = _json(service, input=[1.0])
    query_id = single.pop("query_id")
    fields = {"output": float(DEFAULT_OUTPUT), "default": True, "default_explanation": _EXPLANATION}
    assert single == fields
    batch = _json(service, input_batch=[[1.0], [2.0]])
    assert batch == {"batch_predictions": [{"query_id": query_id + 1 + number, **fields} for number in range(2)]}


def test_who_forbids_default_outputs_is_refused_and_may_come_again(service: QueryServiceProcess) -> None:
    question = _question("hasty", 2, forbid_default=True)
    assert refusal(lambda: service.stub().Predict(question, timeout=PATIENCE_S)) == _REFUSED
    assert refusal(lambda: _json(service, input=[1.0], forbid_default=True)) == _REFUSED


def test_a_pipelined_request_that_forbids_default_outputs_is_refused_alone(service: QueryServiceProcess) -> None:
    questions = [
        query_service_pb2.PredictStreamRequest(request_id=1, request=_question("hasty", 1, forbid_default=True)),
        query_service_pb2.PredictStreamRequest(request_id=2, request=_question("app", 1)),
    ]
    answers = {
        answer.request_id: answer for answer in service.stub().PredictStream(iter(questions), timeout=PATIENCE_S)
    }
    info = error_details_pb2.ErrorInfo()
    assert answers[1].error.details[0].Unpack(info)
    assert (info.reason, answers[1].error.message) == ("FRONT_OVERLOADED", _EXPLANATION)
    assert answers[2].response.predictions[0].output == "0.0"


def test_what_shows_at_a_glance_to_be_bad_is_still_refused(service: QueryServiceProcess) -> None:
    assert refusal(lambda: service.stub().Predict(_question("none", 1), timeout=PATIENCE_S)).reason == "NOT_FOUND"
    assert refusal(lambda: _json(service, input_batch=3)).reason == "INVALID_INPUT"
    empty = query_service_pb2.PredictJsonRequest(application="hasty")
    assert refusal(lambda: service.stub().PredictJson(empty, timeout=PATIENCE_S)).reason == "INVALID_INPUT"


def test_they_are_counted_and_the_loops_lag_is_told(service: QueryServiceProcess) -> None:
    label = '{application="hasty",reason="front_overloaded"}'
    before = prometheus_samples(service.metrics_address)
    service.stub().Predict(_question("hasty", 7), timeout=PATIENCE_S)
    after = prometheus_samples(service.metrics_address)
    assert after[f"clipper_default_predictions_total{label}"] - before.get(
        f"clipper_default_predictions_total{label}", 0
    ) == pytest.approx(7)
    assert after["clipper_loop_lag_seconds_count"] > before["clipper_loop_lag_seconds_count"]


# Decoding them takes the front's thread many times as long as it takes them to arrive.
_CROWD = 8
_LARGE = 4_096


def _crowd() -> Iterator[query_service_pb2.PredictStreamRequest]:
    question = _question("app", _LARGE)
    return (query_service_pb2.PredictStreamRequest(request_id=number, request=question) for number in range(_CROWD))


def test_a_client_that_goes_takes_along_what_waits_of_its_stream(service: QueryServiceProcess) -> None:
    answers = service.stub().PredictStream(_crowd(), timeout=PATIENCE_S)
    next(answers)
    answers.cancel()
    answer = service.stub().Predict(_question("app", 1), timeout=PATIENCE_S)
    assert answer.predictions[0].output == "0.0"


def test_what_waits_when_the_service_drains_is_answered_once(redis: RedisServer, tmp_path: Path) -> None:
    question = _question("app", _LARGE)
    with QueryServiceProcess(redis, tmp_path, lame_duck_s="0") as draining:
        wait_until_predicted(draining, _question("app", 1))
        pipelined = draining.stub().PredictStream(_crowd())
        answers = [next(pipelined)]
        calls = [draining.stub().Predict.future(question) for _ in range(_CROWD)]
        draining.health("")
        draining.process.terminate()
        answers += pipelined
        responses = [answer.response for answer in answers] + [call.result() for call in calls]
        assert draining.end() == 0
    assert sorted(answer.request_id for answer in answers) == list(range(_CROWD))
    query_ids = {prediction.query_id for response in responses for prediction in response.predictions}
    assert len(query_ids) == 2 * _CROWD * _LARGE
