"""Requests that forbid default outputs: answered with predictions, or refused as a whole with what a client can do."""

import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import grpc
import pytest
from clipper.v1 import query_service_pb2
from google.api import httpbody_pb2
from google.rpc import error_details_pb2, status_pb2

from tests.fixtures import model_containers
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

_SLO_S = 1.0
_LATE = "Failed to retrieve a prediction response within the specified latency SLO"
_NO_REPLICA = Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "NO_REPLICA", "No connected models found for query")
_QUEUE_FULL = Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL", "The model's queue is full")
_MODEL_ERROR = Refusal(grpc.StatusCode.INTERNAL, "MODEL_ERROR", "ValueError: negative")


def _sleep(inputs: Any) -> list[str]:
    """A model that takes as many seconds as its first input says, and takes no negative ones."""
    if any(each[0] < 0 for each in inputs):
        raise ValueError("negative")
    time.sleep(inputs[0][0])
    return [str(each[0]) for each in inputs]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QueryServiceProcess]:
    """A query service whose queues are short, with applications linked to a model and to none."""
    directory = tmp_path_factory.mktemp("query")
    with ExitStack() as stack:
        redis = stack.enter_context(redis_in(directory / "redis"))
        container = stack.enter_context(model_containers.serving(_sleep))
        registry = Registry(redis)
        registry.add_application("patient", "sleeper")
        registry.add_application("sleepy", "sleeper", slo_s=_SLO_S)
        registry.add_application("lonely", None, slo_s=_SLO_S)
        registry.add_version("sleeper", "1", batch_size=1)
        registry.add_replica("sleeper", "1", 0, container.address)
        service = stack.enter_context(QueryServiceProcess(redis, directory, queue_capacity="4"))
        wait_until_predicted(service, request("patient", [[0.0]]))
        yield service


def _question(
    application: str, *numbers: float, version: str | None = None, forbid_default: bool = True
) -> query_service_pb2.PredictRequest:
    question = request(application, [[number] for number in numbers], version=version)
    question.forbid_default = forbid_default
    return question


def _refused(service: QueryServiceProcess, question: query_service_pb2.PredictRequest) -> Refusal:
    return refusal(lambda: service.stub().Predict(question, timeout=PATIENCE_S))


def _retry_delay_s(rich: status_pb2.Status) -> float | None:
    """When a rich error tells to try again; None when it does not."""
    retry = error_details_pb2.RetryInfo()
    found = [detail for detail in rich.details if detail.Unpack(retry)]
    return retry.retry_delay.ToMicroseconds() / 1e6 if found else None


def _rich(service: QueryServiceProcess, question: query_service_pb2.PredictRequest) -> status_pb2.Status:
    with pytest.raises(grpc.RpcError) as raised:
        service.stub().Predict(question, timeout=PATIENCE_S)
    (details,) = (each.value for each in raised.value.trailing_metadata() if each.key == "grpc-status-details-bin")
    return status_pb2.Status.FromString(details)


def test_predictions_are_answered_as_ever(service: QueryServiceProcess) -> None:
    answer = service.stub().Predict(_question("patient", 0.001, 0.002), timeout=PATIENCE_S)
    assert [each.output for each in answer.predictions] == ["0.001", "0.002"]
    assert service.stub().Predict(_question("patient"), timeout=PATIENCE_S) == query_service_pb2.PredictResponse()


def test_without_a_replica_a_request_is_refused_and_may_come_again_after_the_objective(
    service: QueryServiceProcess,
) -> None:
    assert _refused(service, _question("lonely", 1.0)) == _NO_REPLICA
    assert _retry_delay_s(_rich(service, _question("lonely", 1.0))) == _SLO_S


def test_a_request_that_the_queue_cannot_take_whole_is_refused_whole(service: QueryServiceProcess) -> None:
    numbers = [0.003 + number / 1e6 for number in range(9)]
    assert _refused(service, _question("patient", *numbers)) == _QUEUE_FULL


def test_a_late_request_is_refused_when_it_is_late(service: QueryServiceProcess) -> None:
    started_s = time.perf_counter()
    refused = _refused(service, _question("sleepy", 1.5 * _SLO_S))
    assert time.perf_counter() - started_s >= _SLO_S
    assert refused.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert refused.reason == "DEADLINE_IN_MODEL"
    assert refused.message.startswith(_LATE)
    service.stub().Predict(_question("patient", 0.0001), timeout=PATIENCE_S)  # is answered when the model is free


def test_a_models_error_is_told_and_refuses_its_neighbours_too(service: QueryServiceProcess) -> None:
    question = _question("patient", 0.001, -1.0, 0.002)
    assert _refused(service, question) == _MODEL_ERROR
    assert _retry_delay_s(_rich(service, question)) is None


def test_who_does_not_forbid_defaults_gets_them_beside_who_does(service: QueryServiceProcess) -> None:
    allowed = service.stub().Predict(_question("lonely", 1.0, forbid_default=False), timeout=PATIENCE_S)
    assert [(each.output, each.is_default) for each in allowed.predictions] == [(DEFAULT_OUTPUT, True)]


@pytest.mark.parametrize(
    ("application", "body", "expected"),
    [
        ("lonely", b'{"input":[1.0],"forbid_default":true}', _NO_REPLICA),
        ("patient", b'{"input_batch":[[0.001],[-1]],"forbid_default":true}', _MODEL_ERROR),
    ],
)
def test_a_rest_request_is_refused_likewise(
    service: QueryServiceProcess, application: str, body: bytes, expected: Refusal
) -> None:
    question = query_service_pb2.PredictJsonRequest(application=application, body=httpbody_pb2.HttpBody(data=body))
    assert refusal(lambda: service.stub().PredictJson(question, timeout=PATIENCE_S)) == expected


def _answers_to(
    service: QueryServiceProcess, questions: Sequence[query_service_pb2.PredictRequest]
) -> list[query_service_pb2.PredictStreamResponse]:
    """The answers to pipelined requests that the query service finds all at once, in the order of the requests."""
    all_sent = threading.Event()

    def pipelined() -> Iterator[query_service_pb2.PredictStreamRequest]:
        for number, question in enumerate(questions):
            yield query_service_pb2.PredictStreamRequest(request_id=number, request=question)
        all_sent.set()

    service.process.send_signal(signal.SIGSTOP)
    try:
        call = service.stub().PredictStream(pipelined(), timeout=PATIENCE_S)
        assert all_sent.wait(PATIENCE_S)
    finally:
        service.process.send_signal(signal.SIGCONT)
    answers = sorted(call, key=lambda answer: answer.request_id)
    assert call.code() is grpc.StatusCode.OK
    assert [answer.request_id for answer in answers] == list(range(len(questions)))
    return answers


def test_requests_that_come_at_once_and_need_no_queue_are_no_fewer_for_its_being_short(
    service: QueryServiceProcess,
) -> None:
    service.stub().Predict(_question("patient", 0.001), timeout=PATIENCE_S)
    answers = _answers_to(service, [_question("patient", 0.001)] * 50)
    assert {answer.WhichOneof("result") for answer in answers} == {"response"}


def test_a_refused_request_on_a_stream_has_its_error_and_the_stream_goes_on(service: QueryServiceProcess) -> None:
    questions = [_question("patient", 0.001), _question("lonely", 1.0), _question("patient", -1.0)] * 2
    answers = _answers_to(service, questions)
    assert [answer.WhichOneof("result") for answer in answers] == ["response", "error", "error"] * 2
    assert answers[3].response.predictions[0].output == "0.001"
    unanswered, failed = answers[4].error, answers[5].error
    assert (unanswered.code, unanswered.message, _retry_delay_s(unanswered)) == (8, _NO_REPLICA.message, _SLO_S)
    assert (failed.code, failed.message, _retry_delay_s(failed)) == (13, _MODEL_ERROR.message, None)
