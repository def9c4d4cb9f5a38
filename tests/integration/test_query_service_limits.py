"""The limits of a request, at the socket: more is refused with limit and remedy, before anything is made of it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import orjson
import pytest
from clipper.v1 import input_pb2, query_service_pb2
from google.api import httpbody_pb2
from google.rpc import error_details_pb2

from services.common.input_schema import InputSchema
from services.common.names import InputType
from services.common.records import Application, Change
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
from tests.fixtures.waiting import wait_until

_MIB = 1 << 20
_LIMIT = 4_096
_REMEDY = ". Divide it into several requests, or have CLIPPER_MAX_INPUTS of the query service raised"
_TOO_MANY = f"A request has at most {_LIMIT} inputs, but this one has {_LIMIT + 1}{_REMEDY}"
_TOO_MUCH_FEEDBACK = (
    f"A request has at most {_LIMIT} inputs, and as many items of feedback, but this one has {_LIMIT + 1}{_REMEDY}"
)
_TOO_MANY_PARTS = f"A request has at most {_LIMIT} inputs, and 65536 strings, arrays, objects and fields in all"


@pytest.fixture(scope="module")
def redis_and_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Path]]:
    """A Redis in which an application "app" is registered, that of "learning" with a policy."""
    directory = tmp_path_factory.mktemp("query")
    with redis_in(directory / "redis") as redis:
        registry = Registry(redis)
        registry.add_application("app", None)
        registry.add_application("texts", None, "strings")
        schema = InputSchema((2,), minimum=0.0)
        registry.change(Change.put(Application("pairs", InputType.DOUBLES, "", 5_000_000, schema=schema)))
        registry.add_choice("learning", "exp3")
        yield redis, directory


@pytest.fixture(scope="module")
def service(redis_and_directory: tuple[Any, Path]) -> Iterator[QueryServiceProcess]:
    """A query service as it is unless something is set."""
    with QueryServiceProcess(*redis_and_directory) as service:
        wait_until(lambda: _is_known(service))
        yield service


def _is_known(service: QueryServiceProcess) -> bool:
    asked = [service.stub().Predict.future(request(name, [])) for name in ("app", "learning")]
    return all(call.code() is grpc.StatusCode.OK for call in asked)


def _inputs(count: int) -> input_pb2.Inputs:
    return input_pb2.Inputs(type=input_pb2.INPUT_TYPE_DOUBLES, lengths=[0] * count)


def _native(count: int, application: str = "app") -> query_service_pb2.PredictRequest:
    return query_service_pb2.PredictRequest(application=application, inputs=_inputs(count))


def _pipelined(request_id: int, count: int) -> query_service_pb2.PredictStreamRequest:
    return query_service_pb2.PredictStreamRequest(request_id=request_id, request=_native(count))


def _json(body: object, application: str = "app") -> query_service_pb2.PredictJsonRequest:
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    return query_service_pb2.PredictJsonRequest(application=application, body=httpbody_pb2.HttpBody(data=data))


def _feedback(count: int) -> query_service_pb2.FeedbackRequest:
    items = [query_service_pb2.FeedbackItem(query_id=number, label="x") for number in range(count)]
    return query_service_pb2.FeedbackRequest(application="learning", feedback=items)


def _feedback_json(count: int) -> query_service_pb2.FeedbackJsonRequest:
    body = orjson.dumps({"feedback": [{"query_id": number, "label": "x"} for number in range(count)]})
    return query_service_pb2.FeedbackJsonRequest(application="learning", body=httpbody_pb2.HttpBody(data=body))


def _raw(service: QueryServiceProcess, method: str, message: bytes) -> bytes:
    """The answer to bytes, whatever they are."""
    call: Callable[..., bytes] = service.channel().unary_unary(f"/clipper.v1.QueryService/{method}")
    return call(message, timeout=PATIENCE_S)


LANES: dict[str, tuple[str, Callable[[int], Any], str]] = {
    "native": ("Predict", _native, _TOO_MANY),
    "JSON": ("PredictJson", lambda count: _json({"input_batch": [[]] * count}), _TOO_MANY),
    "JSON texts": ("PredictJson", lambda count: _json({"input_batch": [""] * count}, "texts"), _TOO_MANY),
    "feedback": ("Feedback", _feedback, _TOO_MUCH_FEEDBACK),
    "JSON feedback": ("FeedbackJson", _feedback_json, _TOO_MUCH_FEEDBACK),
}


@pytest.mark.parametrize(("method", "ask_for", "message"), LANES.values(), ids=LANES)
def test_a_request_of_one_input_above_the_limit_is_refused_and_one_at_it_is_answered(
    service: QueryServiceProcess, method: str, ask_for: Callable[[int], Any], message: str
) -> None:
    call = getattr(service.stub(), method)
    assert call(ask_for(_LIMIT), timeout=PATIENCE_S).ByteSize() > _LIMIT
    assert refusal(lambda: call(ask_for(_LIMIT + 1), timeout=PATIENCE_S)) == Refusal(
        grpc.StatusCode.INVALID_ARGUMENT, "LIMIT_EXCEEDED", message
    )


@pytest.mark.parametrize(
    ("count", "told"),
    [(_LIMIT + 1, _TOO_MANY), (2_000_000, f"{_TOO_MANY_PARTS}, but this one has at least 2000006{_REMEDY}")],
    ids=["one too many", "two million"],
)
def test_on_a_stream_the_request_has_its_error_and_the_stream_goes_on(
    service: QueryServiceProcess, count: int, told: str
) -> None:
    questions = [_pipelined(1, 1), _pipelined(2**64 - 1, count), _pipelined(3, _LIMIT)]
    call = service.stub().PredictStream(iter(questions), timeout=PATIENCE_S)
    answers = {answer.request_id: answer for answer in call}
    assert call.code() is grpc.StatusCode.OK
    assert [len(answers[number].response.predictions) for number in (1, 3)] == [1, _LIMIT]
    error, info = answers[2**64 - 1].error, error_details_pb2.ErrorInfo()
    assert error.details[0].Unpack(info)
    assert (error.code, info.reason) == (grpc.StatusCode.INVALID_ARGUMENT.value[0], "LIMIT_EXCEEDED")
    assert error.message == told


def test_on_a_stream_a_request_that_is_not_as_the_schema_says_has_its_error_and_the_stream_goes_on(
    service: QueryServiceProcess,
) -> None:
    rows = {1: [1.0, 2.0], 2: [1.0], 3: [1.0, -2.0], 4: [float("nan"), 0.0], 5: [3.0, 4.0]}
    questions = [
        query_service_pb2.PredictStreamRequest(request_id=number, request=request("pairs", [row]))
        for number, row in rows.items()
    ]
    wait_until(lambda: service.stub().Predict.future(questions[0].request).code() is grpc.StatusCode.OK)
    call = service.stub().PredictStream(iter(questions), timeout=PATIENCE_S)
    answers = {answer.request_id: answer for answer in call}
    assert call.code() is grpc.StatusCode.OK
    assert {number for number, answer in answers.items() if answer.HasField("response")} == {1, 5}
    told = {number: answer.error.message.partition(".")[0] for number, answer in answers.items() if answer.error.code}
    assert told[2] == "The input has 1 elements, but the application takes 2"
    assert told[3] == "The input has -2"
    assert told[4] == "The input has nan as element 0, which must be at least 0"
    refused = refusal(lambda: service.stub().Predict(questions[1].request))
    assert refused == Refusal(grpc.StatusCode.INVALID_ARGUMENT, "SCHEMA_MISMATCH", told[2])


def test_the_limit_is_set_with_the_service(redis_and_directory: tuple[Any, Path]) -> None:
    with QueryServiceProcess(*redis_and_directory, max_inputs="2") as service:
        wait_until(lambda: _is_known(service))
        assert len(service.stub().Predict(_native(2)).predictions) == 2
        refused = refusal(lambda: service.stub().Predict(_native(3)))
    assert refused.message == f"A request has at most 2 inputs, but this one has 3{_REMEDY}"


def test_a_service_that_allows_no_input_does_not_start(redis_and_directory: tuple[Any, Path]) -> None:
    service = QueryServiceProcess(*redis_and_directory, max_inputs="0")
    assert service.end() != 0
    assert "CLIPPER_MAX_INPUTS is 0" in service._log.read_text()


def _filled(unit: bytes, size_bytes: int, between: bytes = b",") -> bytes:
    return between.join([unit] * (size_bytes // (len(unit) + len(between))))


def _feedback_body(body: bytes) -> bytes:
    return _json(body, "learning").SerializeToString()


# What a few bytes could make much of, in messages of some MiB.
ATTACKS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "a million empty inputs": ("PredictJson", lambda: _json({"input_batch": [[]] * 1_000_000}).SerializeToString()),
    "nested arrays": (
        "PredictJson",
        lambda: _json(b'{"input_batch":[%b]}' % _filled(b"[" * 500 + b"]" * 500, 8 * _MIB)).SerializeToString(),
    ),
    "empty texts": (
        "PredictJson",
        lambda: _json(b'{"input_batch":[%b]}' % _filled(b'""', 8 * _MIB), "texts").SerializeToString(),
    ),
    "keys": (
        "PredictJson",
        lambda: _json({"input": [], **{str(number): 0 for number in range(800_000)}}).SerializeToString(),
    ),
    "objects of feedback": ("FeedbackJson", lambda: _feedback_body(b'{"feedback":[%b]}' % _filled(b"{}", 8 * _MIB))),
    "two million native inputs": ("Predict", lambda: _native(2_000_000).SerializeToString()),
    "forty million native inputs": ("Predict", lambda: _native(40_000_000).SerializeToString()),
    "empty items of feedback": ("Feedback", lambda: b"\x0a\x08learning" + _filled(b"\x12\x00", 8 * _MIB, b"")),
    "an item of feedback on many inputs": (
        "Feedback",
        lambda: query_service_pb2.FeedbackRequest(
            application="app", feedback=[query_service_pb2.FeedbackItem(input=_inputs(2_000_000), label="x")]
        ).SerializeToString(),
    ),
    "extensions of a body": ("PredictJson", lambda: b"\x0a\x03app" + _length_delimited(b"\x1a\x00" * 4 * _MIB)),
}  # fmt: skip


def _length_delimited(content: bytes) -> bytes:
    """Field 2 with this content."""
    size, number = bytearray(), len(content)
    while number > 0x7F:
        size.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((0x12, *size, number)) + content


@pytest.mark.parametrize(("method", "attack"), ATTACKS.values(), ids=ATTACKS)
def test_a_message_that_could_make_much_is_refused_before_anything_is_made_of_it(
    service: QueryServiceProcess, method: str, attack: Callable[[], bytes]
) -> None:
    message = attack()
    _forget_peak(service.process.pid)
    before_mb = _peak_mb(service.process.pid)
    refused = refusal(lambda: _raw(service, method, message))
    assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "LIMIT_EXCEEDED")
    assert refused.message.startswith(_TOO_MANY_PARTS)
    # What came is held several times: by the core, by Python, and as one sees it bit by bit.
    assert _peak_mb(service.process.pid) - before_mb < 30 + 10 * len(message) / 1e6
    assert _raw(service, "Predict", _native(1).SerializeToString())


def _forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _peak_mb(pid: int) -> float:
    """The most memory that a process ever had since its peak was forgotten."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1e3 for line in status if line.startswith("VmHWM"))


def test_one_large_input_is_no_matter(service: QueryServiceProcess) -> None:
    numbers = b'{"input":[%b]}' % _filled(b"0", 4 * _MIB)
    assert service.stub().PredictJson(_json(numbers), timeout=PATIENCE_S).body.data
    packed = input_pb2.Inputs(type=input_pb2.INPUT_TYPE_DOUBLES, data=bytes(8 * _MIB), lengths=[_MIB])
    asked = query_service_pb2.PredictRequest(application="app", inputs=packed)
    assert service.stub().Predict(asked, timeout=PATIENCE_S).predictions[0].output == DEFAULT_OUTPUT


def _verbose(inputs: Any) -> list[str]:
    """A model that answers as many letters as an input says."""
    return ["x" * int(each[0]) for each in inputs]


def test_an_output_that_no_answer_can_hold_fails_its_input_and_nobody_else_in_the_batch(
    redis_and_directory: tuple[Any, Path], service: QueryServiceProcess
) -> None:
    registry = Registry(redis_and_directory[0])
    with model_containers.serving(_verbose) as container:
        registry.add_application("verbose", "m", slo_s=PATIENCE_S)
        registry.add_version("m", "1", batch_size=3)
        registry.add_replica("m", "1", 0, container.address)
        wait_until_predicted(service, request("verbose", [[0.0]]))
        question = request("verbose", [[3.0], [65.0 * _MIB], [4.0]])
        first, failed, last = service.stub().Predict(question, timeout=PATIENCE_S).predictions
        registry.remove_replica("m", "1", 0)
    assert (first.output, last.output) == ("xxx", "xxxx")
    assert failed.default_reason == query_service_pb2.DEFAULT_REASON_MODEL_ERROR
    assert failed.default_explanation.startswith(
        f"The output has {65 * _MIB} bytes, and the outputs of a batch have at most {64 * _MIB}"
    )


ENDLESS = "x" * 2 * _MIB


@pytest.mark.parametrize(
    ("method", "message", "beginning", "end"),
    [
        ("Predict", _native(1, ENDLESS), "No application with name 'xxx", "xxx' exists."),
        ("PredictJson", _json({"input": []}, ENDLESS), "No application with name 'xxx", "xxx' exists."),
        ("PredictJson", _json({"input": [], "uid": ENDLESS}), "The context has more than 1024 characters", ""),
        (
            "Predict",
            query_service_pb2.PredictRequest(application="app", context=ENDLESS, inputs=_inputs(1)),
            "The context has more than 1024 characters",
            "",
        ),
    ],
    ids=["native name", "JSON name", "JSON context", "native context"],
)
def test_a_text_that_never_ends_is_neither_taken_nor_told_in_full(
    service: QueryServiceProcess, method: str, message: Any, beginning: str, end: str
) -> None:
    refused = refusal(lambda: getattr(service.stub(), method)(message, timeout=PATIENCE_S))
    assert refused.message.startswith(beginning)
    assert refused.message.endswith(end)
    assert len(refused.message) <= 1_501
    assert all(len(str(line)) < 10_000 for line in service.log())
