"""The contract of clipper.v1.ModelContainerService, against a real server on a real socket."""

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NoReturn

import grpc
import numpy as np
import pytest
from clipper.v1 import input_pb2, model_container_service_pb2_grpc
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from services.common.errors import UNEXPECTED, InvalidInput
from services.common.names import MODEL_CONTAINER_SERVICE, InputType
from services.model_container.batch_streams import BatchStreams
from services.model_container.server import ModelContainer
from services.model_container.servicer import Servicer
from services.model_container.settings import Settings
from services.model_runtime.outcomes import Outcomes
from services.model_runtime.outputs import Outputs
from services.model_runtime.prediction import Answer, Batch, Predictor
from tests.fixtures.endings import ENDINGS
from tests.fixtures.model_containers import PATIENCE_S, Request, Stream, packed, request, serving

_PREDICT_BATCH = f"/{MODEL_CONTAINER_SERVICE}/PredictBatch"
_DIRECT = (("grpc.enable_http_proxy", 0),)


def _first_numbers(inputs: Any) -> list[float]:
    return [row[0] for row in inputs]


@pytest.fixture
def stream() -> Iterator[Stream]:
    """A stream to a container whose model returns the first number of each input."""
    with serving(_first_numbers) as container, Stream(container.address) as open_stream:
        yield open_stream


@pytest.mark.parametrize(
    ("input_type", "rows", "seen"),
    [
        ("bytes", [[1, -2], [3, 4]], ["ndarray: int8 [1, -2]", "ndarray: int8 [3, 4]"]),
        ("integers", [[1, -2], [3, 4]], ["ndarray: int32 [1, -2]", "ndarray: int32 [3, 4]"]),
        ("floats", [[0.5], [1.5]], ["ndarray: float32 [0.5]", "ndarray: float32 [1.5]"]),
        ("doubles", [[0.5], [1.5]], ["ndarray: float64 [0.5]", "ndarray: float64 [1.5]"]),
        ("strings", ["ä", "b"], ["list: str ä", "list: str b"]),
        ("bytes", [[1], [2, 3]], ["list: int8 [1]", "list: int8 [2, 3]"]),
        ("integers", [[1], []], ["list: int32 [1]", "list: int32 []"]),
        ("floats", [[0.5], [1.5, 2.5]], ["list: float32 [0.5]", "list: float32 [1.5, 2.5]"]),
        ("doubles", [[], [0.5]], ["list: float64 []", "list: float64 [0.5]"]),
        ("strings", ["", "bcd"], ["list: str ", "list: str bcd"]),
        ("doubles", [[], []], ["ndarray: float64 []", "ndarray: float64 []"]),
        ("strings", [""], ["list: str "]),
    ],
)
def test_inputs_reach_the_model_as_arrays_or_text(input_type: str, rows: list[Any], seen: list[str]) -> None:
    def function(inputs: Any) -> list[str]:
        return [
            f"{type(inputs).__name__}: " + (f"str {each}" if isinstance(each, str) else f"{each.dtype} {each.tolist()}")
            for each in inputs
        ]

    with serving(function, input_type) as container, Stream(container.address) as open_stream:
        (answer,) = open_stream.ask(request(rows, input_type))
    assert list(answer.outputs) == seen


def test_a_thousand_pipelined_batches_are_answered_in_order(stream: Stream) -> None:
    answers = stream.ask(*(request([[i], [i + 0.5]], batch_id=i) for i in range(1000)))
    assert [answer.batch_id for answer in answers] == list(range(1000))
    assert [list(answer.outputs) for answer in answers] == [[f"{i}.0", f"{i}.5"] for i in range(1000)]


def test_two_streams_are_served_at_once_and_the_model_is_called_by_one_at_a_time() -> None:
    inside = threading.Lock()

    def function(inputs: Any) -> list[str]:
        if not inside.acquire(blocking=False):
            return ["two at once"] * len(inputs)
        threading.Event().wait(0.001)
        inside.release()
        return ["alone"] * len(inputs)

    def ask(open_stream: Stream) -> set[str]:
        return {output for answer in open_stream.ask(*[request([[1.0]])] * 100) for output in answer.outputs}

    with serving(function) as container, Stream(container.address) as one, Stream(container.address) as other:
        threads = ThreadPoolExecutor(2)
        assert list(threads.map(ask, (one, other))) == [{"alone"}, {"alone"}]
        threads.shutdown()


def test_a_poisoned_input_fails_alone_among_64_though_the_model_changes_its_inputs() -> None:
    def function(inputs: Any) -> list[float]:
        inputs *= 2
        if (inputs == 74.0).any():
            raise ValueError("poisoned")
        return _first_numbers(inputs)

    with serving(function) as container, Stream(container.address) as stream:
        (answer,) = stream.ask(request([[float(i)] for i in range(64)]))
    assert list(answer.outputs) == ["" if i == 37 else str(2.0 * i) for i in range(64)]
    assert [(failure.index, failure.message) for failure in answer.failures] == [(37, "ValueError: poisoned")]


def test_isolation_stops_when_nobody_waits_for_the_answer_any_more() -> None:
    calls: list[int] = []

    def function(inputs: Any) -> NoReturn:
        calls.append(len(inputs))
        threading.Event().wait(0.02)
        raise ValueError(len(inputs))

    with serving(function) as container, Stream(container.address) as stream:
        late = request([[1.0]] * 64)
        late.timeout_micros = 10_000
        (answer,) = stream.ask(late)
    assert calls == [64]
    assert {failure.message for failure in answer.failures} == {"ValueError: 64"}
    assert [failure.index for failure in answer.failures] == list(range(64))


def _raise(_inputs: Any) -> NoReturn:
    raise RuntimeError("broken")


def _interrupt(_inputs: Any) -> NoReturn:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (_raise, "RuntimeError: broken"),
        (lambda _inputs: sys.exit("bye"), "SystemExit: bye"),
        (_interrupt, "KeyboardInterrupt"),
        (
            lambda _inputs: None,
            "The model must return a list with one output an input; for 3 inputs came an object of ",
        ),
        (lambda inputs: ["one too few"] * (len(inputs) - 1), "for 3 inputs came 2 outputs"),
    ],
    ids=["exception", "exit", "interrupt", "none", "wrong length"],
)
def test_a_model_that_fails_every_time_fails_every_input_and_lives_on(
    function: Callable[[Any], object], message: str
) -> None:
    with serving(function) as container, Stream(container.address) as stream:
        answers = stream.ask(request([[1.0]] * 3, batch_id=1), request([[1.0]] * 3, batch_id=2))
    for batch_id, answer in enumerate(answers, 1):
        assert answer.batch_id == batch_id
        assert list(answer.outputs) == ["", "", ""]
        assert [failure.index for failure in answer.failures] == [0, 1, 2]
        assert all(message in failure.message for failure in answer.failures)


class _Odd(list[Any]):
    """A list that ends whoever looks into it."""

    def __init__(self, end: Callable[[], None]) -> None:
        super().__init__()
        self._end = end

    def __iter__(self) -> Iterator[Any]:
        self._end()
        return super().__iter__()


class _OddText:
    """An output that ends whoever wants it as text."""

    def __init__(self, end: Callable[[], None]) -> None:
        self._end = end

    def __str__(self) -> str:
        self._end()
        return ""


def test_whatever_the_models_code_comes_to_costs_the_input_that_it_was_called_for_and_no_other() -> None:
    by_number = dict(enumerate(ENDINGS.values()))

    def end_in_call(inputs: Any) -> Any:
        for row in inputs:
            by_number.get(int(row[0]), lambda: None)()
        return ["fine"] * len(inputs)

    def end_in_outputs(inputs: Any) -> Any:
        ends = [by_number[int(row[0])] for row in inputs if row[0] in by_number]
        return _Odd(ends[0]) if ends else ["fine"] * len(inputs)

    def end_in_text(inputs: Any) -> Any:
        return [_OddText(by_number[int(row[0])]) if row[0] in by_number else "fine" for row in inputs]

    rows = [[float(number)] for number in range(len(ENDINGS) + 2)]
    for function in (end_in_call, end_in_outputs, end_in_text):
        with serving(function) as container, Stream(container.address) as stream:
            (answer,) = stream.ask(request(rows))
        assert list(answer.outputs) == [""] * len(ENDINGS) + ["fine"] * 2
        assert [failure.message.partition(":")[0] for failure in answer.failures] == list(ENDINGS)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (input_pb2.Inputs(type=input_pb2.INPUT_TYPE_DOUBLES, data=bytes(24), lengths=[1, 1]), "24 bytes"),
        (input_pb2.Inputs(data=bytes(16), lengths=[1, 1]), "type is unspecified"),
        (packed("integers", [[1], [2]]), "type is 'integers', but the model takes 'doubles'"),
    ],
    ids=["lengths", "unspecified type", "other type"],
)
def test_a_malformed_batch_is_answered_with_failures_and_its_successors_are_served(
    stream: Stream, inputs: input_pb2.Inputs, message: str
) -> None:
    bad, good = stream.ask(Request(batch_id=1, inputs=inputs), request([[4.0]], batch_id=2))
    assert (bad.batch_id, list(bad.outputs)) == (1, ["", ""])
    assert [failure.index for failure in bad.failures] == [0, 1]
    assert all(message in failure.message for failure in bad.failures)
    assert (good.batch_id, list(good.outputs)) == (2, ["4.0"])


def _ending(container_address: str, batch: Request) -> tuple[grpc.StatusCode, str, error_details_pb2.ErrorInfo]:
    """How the stream ends on which the batch is sent."""
    with grpc.insecure_channel(container_address, _DIRECT) as channel:
        stub = model_container_service_pb2_grpc.ModelContainerServiceStub(channel)
        call = stub.PredictBatch(iter([batch]), timeout=PATIENCE_S)
        with pytest.raises(grpc.RpcError):
            list(call)
        rich = status_pb2.Status.FromString(dict(call.trailing_metadata())["grpc-status-details-bin"])
        info = error_details_pb2.ErrorInfo()
        rich.details[0].Unpack(info)
        return call.code(), call.details(), info


def test_a_batch_without_inputs_ends_its_stream_as_an_invalid_argument() -> None:
    with serving(_first_numbers) as container:
        code, details, info = _ending(container.address, Request(inputs=packed("doubles", [])))
    assert (code, details) == (grpc.StatusCode.INVALID_ARGUMENT, "The batch has no inputs")
    assert (info.reason, info.domain) == ("INVALID_INPUT", "clipper")


@contextmanager
def _serving_streams(answer: Callable[[bytes], bytes], most: int = 1) -> Iterator[tuple[str, BatchStreams]]:
    """A server with nothing but the streams: its address, and they."""
    threads = ThreadPoolExecutor(1)
    server = grpc.server(threads)
    streams = BatchStreams(server, _PREDICT_BATCH, answer, most)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    streams.start()
    model = threading.Thread(target=streams.run, name="model")
    model.start()
    try:
        yield address, streams
    finally:
        server.stop(None).wait(PATIENCE_S)
        threads.shutdown()
        model.join()


def _predictor(function: Callable[[Any], object]) -> Predictor:
    return Predictor(function, Outputs(Outcomes(asyncio.Runner())))


class _BrokenPredictor(Predictor):
    def predict(self, batch: Batch) -> Answer:
        raise RuntimeError("a secret")


def test_an_unexpected_error_of_ours_ends_the_stream_without_its_text() -> None:
    servicer = Servicer(_BrokenPredictor(_first_numbers, Outputs(Outcomes(asyncio.Runner()))), InputType.DOUBLES)
    with _serving_streams(servicer.predict_batch) as (address, streams):
        code, details, _ = _ending(address, request([[1.0]]))
        assert (code, details) == (grpc.StatusCode.INTERNAL, UNEXPECTED)
        assert streams.wait_until_idle(PATIENCE_S)


def _raw_ending(address: str, message: bytes) -> tuple[grpc.StatusCode, str]:
    with grpc.insecure_channel(address, _DIRECT) as channel:
        method: Any = channel.stream_stream(_PREDICT_BATCH)
        call = method(iter([message]), timeout=PATIENCE_S)
        return call.code(), call.details()


def test_what_is_no_batch_ends_its_stream_as_an_invalid_argument() -> None:
    with serving(_first_numbers) as container:
        code, details = _raw_ending(container.address, b"garbage")
    assert (code, details) == (grpc.StatusCode.INVALID_ARGUMENT, "This is not a PredictBatchRequest")


def test_one_stream_too_many_is_refused_and_the_others_are_served() -> None:
    batch = request([[1.0]])
    servicer = Servicer(_predictor(_first_numbers), InputType.DOUBLES)
    with _serving_streams(servicer.predict_batch, most=2) as (address, streams):
        with Stream(address) as first, Stream(address) as second:
            for open_stream in (first, second):
                open_stream.ask(batch)
            code, _ = _raw_ending(address, batch.SerializeToString())
            assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
            for open_stream in (first, second):
                open_stream.ask(batch)
        assert streams.wait_until_idle(PATIENCE_S)
        with Stream(address) as third:
            third.ask(batch)


def test_a_client_that_vanishes_leaves_the_container_serving() -> None:
    entered, go_on = threading.Event(), threading.Event()

    def function(inputs: Any) -> list[float]:
        entered.set()
        go_on.wait(PATIENCE_S)
        return _first_numbers(inputs)

    with serving(function) as container:
        gone = Stream(container.address)
        gone.send(request([[1.0]]))
        assert entered.wait(PATIENCE_S)
        gone.cancel()
        go_on.set()
        with Stream(container.address) as stream:
            assert list(stream.ask(request([[2.0]]))[0].outputs) == ["2.0"]


def test_messages_of_many_megabytes_pass_both_ways() -> None:
    rows = np.zeros((16, 1024 * 512))
    with serving(lambda inputs: ["x" * (inputs[0].nbytes // 2)] * 16) as container, Stream(container.address) as stream:
        (answer,) = stream.ask(request(list(rows)))
    assert [len(output) for output in answer.outputs] == [rows[0].nbytes // 2] * 16


def test_a_method_of_the_health_service_that_it_does_not_have_is_no_failure_of_its_own(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with serving(list) as container, grpc.insecure_channel(container.address, _DIRECT) as channel:
        listing: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/grpc.health.v1.Health/List")
        with pytest.raises(grpc.RpcError) as refused:
            listing(b"", timeout=PATIENCE_S)
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert caplog.text == ""


def test_health_and_reflection_are_served() -> None:
    with serving(_first_numbers) as container, grpc.insecure_channel(container.address, _DIRECT) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for service in ("", MODEL_CONTAINER_SERVICE):
            asked = health_pb2.HealthCheckRequest(service=service)
            answer = health.Check(asked, timeout=PATIENCE_S)  # type: ignore[attr-defined]
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        assert MODEL_CONTAINER_SERVICE in ProtoReflectionDescriptorDatabase(channel).get_services()


def test_a_port_that_is_taken_is_refused_instead_of_shared() -> None:
    with serving(_first_numbers) as container:
        settings = Settings(model_name="m", model_version="1", input_type="doubles", address=container.address)
        with pytest.raises(InvalidInput, match="cannot be bound"):
            ModelContainer(settings, _predictor(_first_numbers))
