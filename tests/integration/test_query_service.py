"""Predictions by a query service: real Redis, real model containers, native gRPC."""

import statistics
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import grpc
import pytest
from clipper.v1 import query_service_pb2
from google.api import httpbody_pb2

from services.common.input_schema import InputSchema
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
)

_TYPES = ("bytes", "integers", "floats", "doubles", "strings")
_SLO_S = 0.1
# How much later than the objective the default may reach a client on a machine that has other things to do.
_SLACK_S = 0.03


def _describe(inputs: Any) -> list[str]:
    """A model that tells what it sees of each input."""
    return [each if isinstance(each, str) else f"{each.dtype} {each.tolist()}" for each in inputs]


def _describe_again(inputs: Any) -> list[str]:
    return [f"again {text}" for text in _describe(inputs)]


def _sleep(inputs: Any) -> list[str]:
    """A model that takes as many seconds as its first input says."""
    time.sleep(inputs[0][0])
    return [str(each[0]) for each in inputs]


def _refuse_negatives(inputs: Any) -> list[str]:
    if any(each[0] < 0 for each in inputs):
        raise ValueError('"negative" é')
    return [str(each[0]) for each in inputs]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QueryServiceProcess]:
    """A query service with a model for each input type, one with two versions, and models that sleep or fail."""
    directory = tmp_path_factory.mktemp("query")
    with ExitStack() as stack:
        redis = stack.enter_context(redis_in(directory / "redis"))
        registry = Registry(redis)

        def add_model(name: str, version: str, function: Any, input_type: str = "doubles", **named: int) -> None:
            container = stack.enter_context(model_containers.serving(function, input_type))
            registry.add_version(name, version, input_type, **named)
            registry.add_replica(name, version, 0, container.address, input_type)

        for input_type in _TYPES:
            registry.add_application(f"{input_type}-app", f"{input_type}-model", input_type)
            add_model(f"{input_type}-model", "1", _describe, input_type)
        add_model("doubles-model", "2", _describe_again)
        registry.add_application("named-app", "doubles-model", schema=InputSchema(names=("age", "income")))
        registry.add_version("doubles-model", "of-texts", "strings")
        registry.add_version("doubles-model", "of-names", input_names=("income", "age"))
        registry.set_current("doubles-model", "1")
        registry.add_application("sleepy", "sleeper", slo_s=_SLO_S)
        registry.add_application("patient", "sleeper", slo_s=10.0)
        add_model("sleeper", "1", _sleep, batch_size=1)
        registry.add_application("choosy", "refuser")
        add_model("refuser", "1", _refuse_negatives)
        registry.add_application("lonely", None)
        registry.add_application("forsaken", "nothing")
        registry.add_version("nothing", "1")
        # Last, so that it is gone before the containers wait for its streams to end.
        service = stack.enter_context(QueryServiceProcess(redis, directory))
        yield service


def _predict(service: QueryServiceProcess, *arguments: Any, **named: Any) -> list[query_service_pb2.Prediction]:
    return list(service.stub().Predict(request(*arguments, **named), timeout=PATIENCE_S).predictions)


def _predict_json(service: QueryServiceProcess, application: str, body: bytes) -> bytes:
    """The body that answers a REST body."""
    question = query_service_pb2.PredictJsonRequest(
        application=application, body=httpbody_pb2.HttpBody(content_type="application/json", data=body)
    )
    answer = service.stub().PredictJson(question, timeout=PATIENCE_S).body
    assert answer.content_type == "application/json"
    return bytes(answer.data)


@pytest.mark.parametrize(
    ("input_type", "rows", "outputs"),
    [
        ("bytes", [[1, -2], [3]], ["int8 [1, -2]", "int8 [3]"]),
        ("integers", [[1, -2], [2**31 - 1]], ["int32 [1, -2]", "int32 [2147483647]"]),
        ("floats", [[0.5], [1.5, 2.5]], ["float32 [0.5]", "float32 [1.5, 2.5]"]),
        ("doubles", [[0.5], [], [float("nan")]], ["float64 [0.5]", "float64 []", "float64 [nan]"]),
        ("strings", ["é😀", "", "{}"], ["é😀", "", "{}"]),
    ],
)
def test_inputs_of_every_type_reach_the_model_and_its_outputs_the_client(
    service: QueryServiceProcess, input_type: str, rows: list[Any], outputs: list[str]
) -> None:
    predictions = _predict(service, f"{input_type}-app", rows, input_type)
    assert [each.output for each in predictions] == outputs
    assert not any(each.is_default or each.default_reason or each.default_explanation for each in predictions)
    first = predictions[0].query_id
    assert [each.query_id for each in predictions] == list(range(first, first + len(rows)))


def test_no_inputs_are_answered_with_no_predictions(service: QueryServiceProcess) -> None:
    assert _predict(service, "doubles-app", []) == []


def test_a_large_request_is_answered_in_full(service: QueryServiceProcess) -> None:
    rows = [[float(number)] for number in range(4_096)]
    predictions = _predict(service, "doubles-app", rows)
    assert [each.output for each in predictions] == [f"float64 {row}" for row in rows]


def test_a_version_can_be_asked_for(service: QueryServiceProcess) -> None:
    assert _predict(service, "doubles-app", [[7.0]])[0].output == "float64 [7.0]"
    assert _predict(service, "doubles-app", [[7.0]], version="2")[0].output == "again float64 [7.0]"
    assert _predict(service, "doubles-app", [[7.0]], version="1")[0].output == "float64 [7.0]"


def test_an_unknown_version_is_refused(service: QueryServiceProcess) -> None:
    assert refusal(lambda: _predict(service, "doubles-app", [[1.0]], version="9")) == Refusal(
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_INPUT",
        "Requested version: 9 does not exist for model: doubles-model",
    )


@pytest.mark.parametrize(
    ("application", "version", "reason"),
    [
        (
            "doubles-app",
            "of-texts",
            "has incompatible input_type 'strings'. Application 'doubles-app' has input_type 'doubles'.",
        ),
        (
            "named-app",
            "of-names",
            "has incompatible input_names (income, age). The schema of application 'named-app' has the names (age, "
            "income).",
        ),
    ],
    ids=["type", "names"],
)
def test_a_version_that_takes_other_inputs_than_its_application_is_refused(
    service: QueryServiceProcess, application: str, version: str, reason: str
) -> None:
    refused = Refusal(
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_INPUT",
        f"Requested version: {version} of model: doubles-model {reason}",
    )
    body = b'{"input":[1,2],"version":"%b"}' % version.encode()
    assert refusal(lambda: _predict(service, application, [[1.0, 2.0]], version=version)) == refused
    assert refusal(lambda: _predict_json(service, application, body)) == refused


def test_a_version_whose_inputs_have_names_can_be_asked_for_by_an_application_without(
    service: QueryServiceProcess,
) -> None:
    [prediction] = _predict(service, "doubles-app", [[1.0, 2.0]], version="of-names")
    assert prediction.default_reason == query_service_pb2.DEFAULT_REASON_NO_REPLICA


def test_an_unknown_application_is_not_found(service: QueryServiceProcess) -> None:
    assert refusal(lambda: _predict(service, "no such", [[1.0]])) == Refusal(
        grpc.StatusCode.NOT_FOUND, "NOT_FOUND", "No application with name 'no such' exists."
    )


def test_inputs_of_another_type_are_refused(service: QueryServiceProcess) -> None:
    assert refusal(lambda: _predict(service, "doubles-app", [[1]], "integers")) == Refusal(
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_INPUT",
        "The input type is 'integers', but the application takes 'doubles'",
    )


def test_lengths_that_do_not_add_up_are_refused(service: QueryServiceProcess) -> None:
    question = request("doubles-app", [[1.0, 2.0]])
    question.inputs.lengths[:] = [3]
    refused = refusal(lambda: service.stub().Predict(question, timeout=PATIENCE_S))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.message.startswith("The inputs' lengths add up to 3 elements")


def test_a_string_that_is_not_utf8_is_refused(service: QueryServiceProcess) -> None:
    question = request("strings-app", ["abc"], "strings")
    question.inputs.data = b"\xff\xfe\xfd"
    refused = refusal(lambda: service.stub().Predict(question, timeout=PATIENCE_S))
    assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_INPUT")


def test_a_message_that_is_no_request_is_refused(service: QueryServiceProcess) -> None:
    call: grpc.UnaryUnaryMultiCallable[bytes, bytes]
    call = service.channel().unary_unary("/clipper.v1.QueryService/Predict")
    assert refusal(lambda: call(b"\xff\xff\xff", timeout=PATIENCE_S)) == Refusal(
        grpc.StatusCode.INVALID_ARGUMENT, "INVALID_INPUT", "This is not a clipper.v1.PredictRequest"
    )


@pytest.mark.parametrize("application", ["lonely", "forsaken"])
def test_without_a_model_or_a_replica_the_default_comes_at_once(service: QueryServiceProcess, application: str) -> None:
    (prediction,) = _predict(service, application, [[1.0]])
    assert prediction.output == DEFAULT_OUTPUT
    assert prediction.is_default
    assert prediction.default_reason == query_service_pb2.DEFAULT_REASON_NO_REPLICA
    assert prediction.default_explanation == "No connected models found for query"


@pytest.mark.alone
def test_a_model_that_is_too_slow_is_answered_for_with_the_default_at_the_objective(
    service: QueryServiceProcess,
) -> None:
    latencies_s = []
    for number in range(5):
        started_s = time.perf_counter()
        (prediction,) = _predict(service, "sleepy", [[_SLO_S + 0.05 + number / 1000]])
        latencies_s.append(time.perf_counter() - started_s)
        assert prediction.output == DEFAULT_OUTPUT
        assert prediction.default_reason == query_service_pb2.DEFAULT_REASON_DEADLINE_IN_MODEL
        assert prediction.default_explanation.startswith(
            "Failed to retrieve a prediction response within the specified"
        )
        _predict(service, "patient", [[number / 1e6]])  # is answered once the model has woken up
    assert min(latencies_s) >= _SLO_S
    assert statistics.median(latencies_s) < _SLO_S + _SLACK_S


@pytest.mark.alone
def test_what_waits_behind_a_slow_batch_gets_the_default_at_its_own_objective(service: QueryServiceProcess) -> None:
    slow = [service.stub().Predict.future(request("patient", [[0.4 + number / 100]])) for number in range(2)]
    for _ in range(2):
        _predict(service, "lonely", [[1.0]])  # when this is answered, the others are under way
    started_s = time.perf_counter()
    (prediction,) = _predict(service, "sleepy", [[0.001]])
    latency_s = time.perf_counter() - started_s
    assert prediction.is_default
    assert prediction.default_reason == query_service_pb2.DEFAULT_REASON_DEADLINE_IN_QUEUE
    assert _SLO_S <= latency_s < _SLO_S + 3 * _SLACK_S
    assert not any(each.result().predictions[0].is_default for each in slow)


@pytest.mark.alone
def test_a_client_with_a_shorter_deadline_gets_the_default_or_its_timeout_then(service: QueryServiceProcess) -> None:
    started_s = time.perf_counter()
    call = service.stub().Predict.future(request("patient", [[0.3]]), timeout=0.15)
    assert call.code() in (grpc.StatusCode.OK, grpc.StatusCode.DEADLINE_EXCEEDED)
    assert 0.14 < time.perf_counter() - started_s < 0.15 + 3 * _SLACK_S
    if call.code() is grpc.StatusCode.OK:
        reason = call.result().predictions[0].default_reason
        assert reason == query_service_pb2.DEFAULT_REASON_DEADLINE_IN_MODEL


def test_a_models_error_is_in_the_explanation_and_fails_its_input_only(service: QueryServiceProcess) -> None:
    predictions = _predict(service, "choosy", [[1.5], [-1.5], [2.5]])
    assert [each.output for each in predictions] == ["1.5", DEFAULT_OUTPUT, "2.5"]
    failed = predictions[1]
    assert failed.default_reason == query_service_pb2.DEFAULT_REASON_MODEL_ERROR
    assert failed.default_explanation == 'ValueError: "negative" é'


@pytest.mark.alone
def test_equal_inputs_are_answered_from_the_cache_by_whatever_door(service: QueryServiceProcess) -> None:
    _predict(service, "patient", [[0.25]])
    started_s = time.perf_counter()
    assert _predict(service, "patient", [[0.25]])[0].output == "0.25"
    assert b'"output":0.25,' in _predict_json(service, "patient", b'{"input":[0.25]}')
    assert time.perf_counter() - started_s < 0.2


# The REST face


def test_a_rest_body_is_answered_with_json(service: QueryServiceProcess) -> None:
    answer = _predict_json(service, "choosy", b'{"input": [1, 2.5]}')
    query_id = _predict(service, "choosy", [[1.0]])[0].query_id - 1
    assert answer == b'{"query_id":%d,"output":1.0,"default":false}' % query_id


def test_a_rest_batch_keeps_its_order_and_explains_its_defaults(service: QueryServiceProcess) -> None:
    answer = _predict_json(service, "choosy", b'{"input_batch": [[-1], [2]]}')
    query_id = _predict(service, "choosy", [[1.0]])[0].query_id
    assert answer.decode() == (
        f'{{"batch_predictions":[{{"query_id":{query_id - 2},"output":-1.0,"default":true,'
        f'"default_explanation":"ValueError: \\"negative\\" é"}},'
        f'{{"query_id":{query_id - 1},"output":2.0,"default":false}}]}}'
    )


@pytest.mark.parametrize(
    ("input_type", "value", "output"),
    [
        ("bytes", '"AQI="', '"int8 [1, 2]"'),
        ("integers", "[1,-2]", '"int32 [1, -2]"'),
        ("floats", "[1,0.5]", '"float32 [1.0, 0.5]"'),
        ("doubles", "[1,0.1]", '"float64 [1.0, 0.1]"'),
        ("strings", '"[1, {}]"', "[1, {}]"),
    ],
)
def test_rest_inputs_of_every_type_reach_the_model(
    service: QueryServiceProcess, input_type: str, value: str, output: str
) -> None:
    answer = _predict_json(service, f"{input_type}-app", b'{"input":%b}' % value.encode()).decode()
    assert f'"output":{output},"default":false}}' in answer


def test_an_empty_rest_batch_and_a_batch_of_one_keep_their_envelope(service: QueryServiceProcess) -> None:
    assert _predict_json(service, "lonely", b'{"input_batch":[]}') == b'{"batch_predictions":[]}'
    assert _predict_json(service, "lonely", b'{"input_batch":[[1]]}').startswith(b'{"batch_predictions":[{"query_id":')


def test_a_rest_version_can_be_asked_for(service: QueryServiceProcess) -> None:
    assert b"again float64" in _predict_json(service, "doubles-app", b'{"input":[1],"version":"2","uid":7}')
    refused = refusal(lambda: _predict_json(service, "doubles-app", b'{"input":[1],"version":"9"}'))
    assert refused.message == "Requested version: 9 does not exist for model: doubles-model"


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'{"input":[true]}', b'{"input":"x"}', b"\xff", b"[" * 50_000])
def test_a_bad_rest_body_is_refused_with_the_reason(service: QueryServiceProcess, body: bytes) -> None:
    refused = refusal(lambda: _predict_json(service, "doubles-app", body))
    assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_INPUT")
    assert refused.message.startswith("Error parsing JSON: ")


def test_an_unknown_application_is_not_found_whatever_the_body(service: QueryServiceProcess) -> None:
    assert refusal(lambda: _predict_json(service, "no such", b"{")).code is grpc.StatusCode.NOT_FOUND


def test_numbers_arrive_bit_by_bit(service: QueryServiceProcess) -> None:
    values = [0.1, 1 / 3, 5e-324, 1.7976931348623157e308, -0.0]
    assert struct.pack("<5d", *values) == request("doubles-app", [values]).inputs.data
    native = _predict(service, "doubles-app", [values])[0].output
    assert native == f"float64 {values}"
    answer = _predict_json(service, "doubles-app", b'{"input":%b}' % repr(values).encode())
    assert native.encode() in answer
