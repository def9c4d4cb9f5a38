"""Pipelined predictions over PredictStream."""

import itertools
import queue
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import grpc
import pytest
from clipper.v1 import query_service_pb2

from tests.fixtures import model_containers
from tests.fixtures.model_containers import ContainerProcess, save
from tests.fixtures.query_services import (
    PATIENCE_S,
    QueryServiceProcess,
    Refusal,
    Registry,
    redis_in,
    refusal,
    request,
)
from tests.fixtures.waiting import wait_until

Request = query_service_pb2.PredictStreamRequest
Response = query_service_pb2.PredictStreamResponse

_MALFORMED = b"\xff\xff\xff"


def _first_numbers(inputs: Any) -> list[str]:
    return [str(each[0]) for each in inputs]


class _Gate:
    """A model that answers when it is let, and knows what it has been asked, with an application of its own."""

    _numbers = itertools.count()

    def __init__(self) -> None:
        self.application = f"gated-{next(self._numbers)}"
        self.open = threading.Event()
        self.asked: queue.SimpleQueue[float] = queue.SimpleQueue()

    def __call__(self, inputs: Any) -> list[str]:
        for each in inputs:
            self.asked.put(each[0])
        self.open.wait(PATIENCE_S)
        return _first_numbers(inputs)


@pytest.fixture(scope="module")
def registry_and_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Registry, QueryServiceProcess]]:
    """A query service with one application "app" whose model runs in a process of its own."""
    directory = tmp_path_factory.mktemp("query")
    model = save(tmp_path_factory.mktemp("model"), _first_numbers)
    with ExitStack() as stack:
        redis = stack.enter_context(redis_in(directory / "redis"))
        container = stack.enter_context(ContainerProcess(model))
        registry = Registry(redis)
        registry.add_application("app", "m")
        registry.add_version("m", "1")
        registry.add_replica("m", "1", 0, container.address())
        yield registry, stack.enter_context(QueryServiceProcess(redis, directory))


@pytest.fixture
def service(registry_and_service: tuple[Registry, QueryServiceProcess]) -> QueryServiceProcess:
    """The query service."""
    return registry_and_service[1]


@pytest.fixture
def gate(registry_and_service: tuple[Registry, QueryServiceProcess]) -> Iterator[_Gate]:
    """An application gate.application whose model answers one input at a time, and only when it is let."""
    registry, service = registry_and_service
    model = _Gate()
    name = model.application
    with model_containers.serving(model) as container:
        registry.add_version(name, "1", batch_size=1)
        registry.add_replica(name, "1", 0, container.address)
        registry.add_application(name, name)
        wait_until(lambda: service.stub().Predict.future(request(name, [])).code() is grpc.StatusCode.OK)
        yield model
        model.open.set()
        registry.remove_replica(name, "1", 0)


class _Conversation:
    """One PredictStream call, written to and read from by the test."""

    def __init__(self, service: QueryServiceProcess) -> None:
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        method: grpc.StreamStreamMultiCallable[bytes, bytes]
        method = service.channel().stream_stream("/clipper.v1.QueryService/PredictStream")
        self.call = method(iter(self._outbox.get, None), timeout=PATIENCE_S)

    def ask(self, number: int, application: str = "app") -> None:
        question = Request(request_id=number, request=request(application, [[float(number)]]))
        self.say(question.SerializeToString())

    def say(self, message: bytes) -> None:
        self._outbox.put(message)

    def half_close(self) -> None:
        self._outbox.put(None)

    def hear(self) -> Response:
        return Response.FromString(next(self.call))

    def rest(self) -> list[Response]:
        """All that is still to come, until the call ends well."""
        return [Response.FromString(message) for message in self.call]


def _answered(responses: list[Response]) -> dict[int, str]:
    """Outputs by request id."""
    return {each.request_id: each.response.predictions[0].output for each in responses}


def test_two_thousand_pipelined_requests_are_all_answered_by_their_ids(service: QueryServiceProcess) -> None:
    conversation = _Conversation(service)
    for number in range(2_000):
        conversation.ask(number)
    conversation.half_close()
    responses = conversation.rest()
    assert len(responses) == 2_000
    assert _answered(responses) == {number: str(float(number)) for number in range(2_000)}
    ids = [each.response.predictions[0].query_id for each in responses]
    assert len(set(ids)) == 2_000
    assert conversation.call.code() is grpc.StatusCode.OK


def test_answers_come_as_they_are_ready_and_not_in_order(service: QueryServiceProcess, gate: _Gate) -> None:
    conversation = _Conversation(service)
    conversation.ask(1, gate.application)
    conversation.ask(2, "app")
    assert conversation.hear().request_id == 2
    gate.open.set()
    assert conversation.hear().request_id == 1
    conversation.half_close()
    assert conversation.rest() == []


def test_one_request_may_have_many_inputs_or_none(service: QueryServiceProcess) -> None:
    conversation = _Conversation(service)
    conversation.say(Request(request_id=7, request=request("app", [[1.0], [2.0]])).SerializeToString())
    assert [each.output for each in conversation.hear().response.predictions] == ["1.0", "2.0"]
    conversation.say(Request(request_id=8, request=request("app", [])).SerializeToString())
    assert conversation.hear() == Response(request_id=8, response=query_service_pb2.PredictResponse())
    conversation.half_close()
    assert conversation.rest() == []


def test_what_was_asked_before_the_half_close_is_answered_after_it(service: QueryServiceProcess, gate: _Gate) -> None:
    conversation = _Conversation(service)
    for number in range(5):
        conversation.ask(number, gate.application)
    conversation.half_close()
    gate.asked.get(timeout=PATIENCE_S)
    gate.open.set()
    assert _answered(conversation.rest()) == {number: str(float(number)) for number in range(5)}


def test_an_idle_stream_ends_with_its_half_close(service: QueryServiceProcess) -> None:
    conversation = _Conversation(service)
    conversation.half_close()
    assert conversation.rest() == []


def test_a_bad_request_ends_the_stream_with_its_error_after_the_answers_before(service: QueryServiceProcess) -> None:
    conversation = _Conversation(service)
    conversation.ask(1)
    assert conversation.hear().request_id == 1
    conversation.ask(2, "no such")
    assert refusal(conversation.rest) == Refusal(
        grpc.StatusCode.NOT_FOUND, "NOT_FOUND", "No application with name 'no such' exists."
    )


def test_a_message_that_is_no_request_ends_the_stream(service: QueryServiceProcess) -> None:
    conversation = _Conversation(service)
    conversation.say(_MALFORMED)
    assert refusal(conversation.rest) == Refusal(
        grpc.StatusCode.INVALID_ARGUMENT, "INVALID_INPUT", "This is not a clipper.v1.PredictStreamRequest"
    )


def test_what_a_cancelled_stream_still_had_in_the_queue_never_reaches_the_model(
    service: QueryServiceProcess, gate: _Gate
) -> None:
    conversation = _Conversation(service)
    for number in range(50):
        conversation.ask(number, gate.application)
    conversation.ask(50)
    assert conversation.hear().request_id == 50  # so all the others have been taken
    conversation.call.cancel()
    other = _Conversation(service)
    other.ask(100, gate.application)
    other.ask(101)
    assert other.hear().request_id == 101
    gate.open.set()
    assert other.hear().request_id == 100
    # A second batch is sent behind the one that computes.
    assert [gate.asked.get() for _ in range(gate.asked.qsize())] == [0.0, 1.0, 100.0]
    other.half_close()
    assert other.rest() == []
    conversation.half_close()


def test_a_client_that_reads_nothing_is_no_burden_and_loses_nothing(service: QueryServiceProcess) -> None:
    conversation = _Conversation(service)
    for number in range(5_000):
        conversation.ask(number)
    conversation.half_close()
    neighbour = service.stub().Predict(request("app", [[0.5]]), timeout=PATIENCE_S)
    assert neighbour.predictions[0].output == "0.5"
    assert len(_answered(conversation.rest())) == 5_000
