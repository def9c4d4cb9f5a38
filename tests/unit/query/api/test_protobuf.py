"""Messages of clients to and from the engine's objects."""

import struct
from collections.abc import Callable

import pytest
from clipper.v1 import input_pb2, query_service_pb2
from google.api import httpbody_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2

from services.common.errors import InvalidInput, LimitExceeded, NoCapacity
from services.common.lessons import FeedbackStatus
from services.common.names import InputType
from services.common.records import Application
from services.query.api import protobuf
from services.query.api.request_limits import RequestLimits
from services.query.engine import requests, versions
from services.query.engine.feedback import FeedbackItem
from services.query.engine.requests import NOBODY, DefaultReason, Request, Spent
from tests.fixtures.choices import answered

_NOT_PROTOBUF = b"\xff\xff\xff"
_LIMITS = RequestLimits(max_inputs=8)


def _application(input_type: InputType) -> Application:
    return Application("app", input_type, "", 1)


def _request(*inputs: bytes, deadline_s: float = 1.0) -> Request:
    route = versions.Route(Application("app", InputType.DOUBLES, "fallback", 1_000), {})
    return Request(route, None, inputs, 40, 0.0, deadline_s, NOBODY)


@pytest.mark.parametrize("decode", [protobuf.predict_request, protobuf.predict_stream_request])
def test_a_native_request_that_is_none_is_refused_by_name(decode: Callable[[bytes, RequestLimits], object]) -> None:
    with pytest.raises(InvalidInput, match=r"^This is not a clipper\.v1\.Predict"):
        decode(_NOT_PROTOBUF, _LIMITS)


_TOO_MANY = query_service_pb2.PredictRequest(inputs=input_pb2.Inputs(lengths=[0] * 9))


@pytest.mark.parametrize(
    ("decode", "message"),
    [
        (protobuf.predict_request, _TOO_MANY),
        (protobuf.predict_stream_request, query_service_pb2.PredictStreamRequest(request=_TOO_MANY)),
    ],
    ids=["a call", "within a stream"],
)
def test_a_native_request_of_too_many_inputs_is_refused_before_it_waits(
    decode: Callable[[bytes, RequestLimits], object], message: Message
) -> None:
    with pytest.raises(LimitExceeded, match="at most 8 inputs, but this one has 9"):
        decode(message.SerializeToString(), _LIMITS)


def test_a_rest_request_that_is_none_is_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match=r"clipper\.v1\.PredictJsonRequest$"):
        protobuf.predict_json_request(_NOT_PROTOBUF, _LIMITS)


def test_native_requests_survive_the_wire() -> None:
    request = query_service_pb2.PredictRequest(application="app", version="2", context="someone")
    assert protobuf.predict_request(request.SerializeToString(), _LIMITS) == request
    pipelined = query_service_pb2.PredictStreamRequest(request_id=2**64 - 1, request=request)
    assert protobuf.predict_stream_request(pipelined.SerializeToString(), _LIMITS) == pipelined


def test_a_rest_request_is_the_application_and_the_body() -> None:
    body = httpbody_pb2.HttpBody(content_type="application/json", data=b'{"input":[1]}')
    request = query_service_pb2.PredictJsonRequest(application="app", body=body)
    question = protobuf.predict_json_request(request.SerializeToString(), _LIMITS)
    assert question == ("app", "application/json", b'{"input":[1]}', None)


def test_what_a_rest_request_asks_beside_its_body_is_told_apart() -> None:
    request = query_service_pb2.PredictJsonRequest(application="app", uid="ada", forbid_default=True)
    question = protobuf.predict_json_request(request.SerializeToString(), _LIMITS)
    assert question.options == (None, "ada", False, True)


@pytest.mark.parametrize(
    ("number", "input_type", "data", "lengths", "inputs"),
    [
        (input_pb2.INPUT_TYPE_BYTES, InputType.BYTES, b"\0\xff\1", [1, 2], [b"\0", b"\xff\1"]),
        (input_pb2.INPUT_TYPE_INTS, InputType.INTS, b"aaaabbbb", [1, 0, 1], [b"aaaa", b"", b"bbbb"]),
        (input_pb2.INPUT_TYPE_FLOATS, InputType.FLOATS, b"aaaabbbb", [2], [b"aaaabbbb"]),
        (input_pb2.INPUT_TYPE_DOUBLES, InputType.DOUBLES, b"aaaabbbb", [1], [b"aaaabbbb"]),
        (input_pb2.INPUT_TYPE_STRINGS, InputType.STRINGS, "éx".encode(), [2, 1], ["é".encode(), b"x"]),
        (input_pb2.INPUT_TYPE_DOUBLES, InputType.DOUBLES, b"", [], []),
        (input_pb2.INPUT_TYPE_DOUBLES, InputType.DOUBLES, b"", [0, 0], [b"", b""]),
    ],
)
def test_inputs_are_cut_out_of_the_packed_buffer(
    number: input_pb2.InputType.ValueType, input_type: InputType, data: bytes, lengths: list[int], inputs: list[bytes]
) -> None:
    message = input_pb2.Inputs(type=number, data=data, lengths=lengths)
    assert protobuf.inputs(message, _application(input_type)) == inputs


def test_nan_and_infinity_reach_the_model_from_native_clients() -> None:
    data = struct.pack("<2d", float("nan"), float("-inf"))
    message = input_pb2.Inputs(type=input_pb2.INPUT_TYPE_DOUBLES, data=data, lengths=[2])
    assert protobuf.inputs(message, _application(InputType.DOUBLES)) == [data]


@pytest.mark.parametrize(
    ("number", "given"),
    [
        (input_pb2.INPUT_TYPE_UNSPECIFIED, "unspecified"),
        (input_pb2.INPUT_TYPE_INTS, "'integers'"),
        (77, "unspecified"),
    ],
)
def test_inputs_of_another_type_are_refused_with_both_types(number: input_pb2.InputType.ValueType, given: str) -> None:
    message = input_pb2.Inputs(type=number, data=b"aaaabbbb", lengths=[1])
    with pytest.raises(InvalidInput) as refused:
        protobuf.inputs(message, _application(InputType.DOUBLES))
    assert str(refused.value) == f"The input type is {given}, but the application takes 'doubles'"


def test_lengths_that_do_not_add_up_are_refused() -> None:
    message = input_pb2.Inputs(type=input_pb2.INPUT_TYPE_DOUBLES, data=b"aaaabbbb", lengths=[2])
    with pytest.raises(InvalidInput, match="add up to 2 elements of 8 bytes, but the data has 8 bytes"):
        protobuf.inputs(message, _application(InputType.DOUBLES))


def test_the_engines_reasons_are_those_of_the_contract() -> None:
    contract = query_service_pb2.DefaultReason.items()
    names = {int(number): name.removeprefix("DEFAULT_REASON_") for name, number in contract}
    assert names.pop(0) == "UNSPECIFIED"
    assert names == {reason.value: reason.name for reason in DefaultReason if reason}


def test_every_default_has_an_explanation_unless_the_model_gives_it() -> None:
    unexplained = set(DefaultReason) - set(requests.EXPLANATIONS)
    assert unexplained == {DefaultReason.NONE, DefaultReason.MODEL_ERROR}


def test_a_response_has_each_answer_with_its_id_and_reason() -> None:
    request = _request(b"a", b"b")
    request.queries[0].output = "é"
    late = request.queries[1]
    late.output, late.reason, late.explanation = "fallback", DefaultReason.DEADLINE_IN_MODEL, "late"
    response = protobuf.predict_stream_response(7, request)
    assert response.request_id == 7
    assert list(response.response.predictions) == [
        query_service_pb2.Prediction(query_id=40, output="é"),
        query_service_pb2.Prediction(
            query_id=41,
            output="fallback",
            is_default=True,
            default_reason=query_service_pb2.DEFAULT_REASON_DEADLINE_IN_MODEL,
            default_explanation="late",
        ),
    ]


def test_only_an_explained_prediction_tells_where_the_time_went() -> None:
    request = _request(b"a", b"b")
    request.queries[1].spent = Spent(cached=False, queue_s=0.001, batch_size=3, model_s=0.002, network_s=0.003)
    unexplained, explained = protobuf.predict_response(request).predictions
    assert not unexplained.HasField("timing")
    assert explained.timing == query_service_pb2.Timing(
        queue_micros=1_000, batch_size=3, model_micros=2_000, network_micros=3_000
    )


def test_a_cached_prediction_says_so() -> None:
    request = _request(b"a")
    request.queries[0].spent = Spent(cached=True, queue_s=0.0, batch_size=0, model_s=0.0, network_s=0.0)
    (prediction,) = protobuf.predict_response(request).predictions
    assert prediction.timing == query_service_pb2.Timing(cached=True)


def test_an_ensemble_tells_its_confidence_and_when_asked_what_each_model_said() -> None:
    said = {"a": "1", "b": "1"}
    (prediction,) = protobuf.predict_response(answered("majority", said)).predictions
    assert prediction.output == "1"
    assert prediction.confidence == pytest.approx(2 / 3)
    assert not prediction.HasField("selection")
    (prediction,) = protobuf.predict_response(answered("majority", said, explain=True)).predictions
    arms = [(arm.model, arm.asked, arm.output) for arm in prediction.selection.arms]
    assert arms == [("a", True, "1"), ("b", True, "1"), ("c", True, "")]
    assert [arm.weight for arm in prediction.selection.arms] == pytest.approx([1 / 3] * 3)
    assert [arm.HasField("output") for arm in prediction.selection.arms] == [True, True, False]


def test_a_choice_of_one_model_tells_its_confidence_only_where_there_is_a_threshold() -> None:
    only_b = (("b", 1.0),)
    (prediction,) = protobuf.predict_response(answered("static", {"b": "1"}, policy_parameters=only_b)).predictions
    assert not prediction.HasField("confidence")
    request = answered("static", {"b": "1"}, confidence_threshold=0.5, policy_parameters=only_b)
    (prediction,) = protobuf.predict_response(request).predictions
    assert prediction.confidence == 1.0


def test_a_default_for_want_of_confidence_tells_that() -> None:
    request = answered("majority", {"a": "1", "b": "2"}, confidence_threshold=0.9)
    (prediction,) = protobuf.predict_response(request).predictions
    assert prediction.default_reason == query_service_pb2.DEFAULT_REASON_LOW_CONFIDENCE
    assert prediction.confidence == pytest.approx(1 / 3)


def test_native_feedback_is_taken_item_by_item() -> None:
    packed = input_pb2.Inputs(type=input_pb2.INPUT_TYPE_DOUBLES, data=b"x" * 8, lengths=[1])
    request = query_service_pb2.FeedbackRequest(
        application="app",
        feedback=[
            query_service_pb2.FeedbackItem(query_id=2**64 - 1, label=""),
            query_service_pb2.FeedbackItem(input=packed, label="y", context="ann", feedback_id="f"),
            query_service_pb2.FeedbackItem(query_id=0, reward=0.5),
            query_service_pb2.FeedbackItem(),
        ],
    )
    assert protobuf.feedback_request(request.SerializeToString(), _LIMITS) == request
    assert protobuf.feedback_items(request, _application(InputType.DOUBLES), _LIMITS) == [
        FeedbackItem(query_id=2**64 - 1, label=""),
        FeedbackItem(input=b"x" * 8, label="y", context="ann", feedback_id="f"),
        FeedbackItem(query_id=0, reward=0.5),
        FeedbackItem(),
    ]


@pytest.mark.parametrize(
    ("lengths", "input_type", "says"),
    [
        ([1, 1], InputType.DOUBLES, "Feedback is on one input, but there are 2"),
        ([], InputType.DOUBLES, "Feedback is on one input, but there are 0"),
        ([2], InputType.FLOATS, "The input type is 'doubles', but the application takes 'floats'"),
    ],
)
def test_native_feedback_is_on_exactly_one_input(lengths: list[int], input_type: InputType, says: str) -> None:
    packed = input_pb2.Inputs(type=input_pb2.INPUT_TYPE_DOUBLES, data=b"x" * 16, lengths=lengths)
    item = query_service_pb2.FeedbackItem(input=packed, label="y")
    with pytest.raises(InvalidInput, match=says):
        protobuf.feedback_items(query_service_pb2.FeedbackRequest(feedback=[item]), _application(input_type), _LIMITS)


def test_what_became_of_native_feedback_is_told_in_order() -> None:
    statuses = [FeedbackStatus.LEARNED, FeedbackStatus.UNKNOWN_QUERY, FeedbackStatus.ALREADY_LEARNED]
    response = query_service_pb2.FeedbackResponse.FromString(protobuf.feedback_response(statuses))
    assert [result.status for result in response.results] == [1, 3, 2]


def test_rest_feedback_is_the_application_and_the_body() -> None:
    body = httpbody_pb2.HttpBody(content_type="application/json", data=b"{}")
    request = query_service_pb2.FeedbackJsonRequest(application="app", body=body)
    assert protobuf.feedback_json_request(request.SerializeToString(), _LIMITS) == ("app", b"{}")


def test_a_refused_pipelined_request_is_answered_with_its_status() -> None:
    refused = protobuf.predict_stream_error(7, NoCapacity("The model's queue is full", "QUEUE_FULL", 0.25))
    assert (refused.request_id, refused.WhichOneof("result")) == (7, "error")
    assert (refused.error.code, refused.error.message) == (8, "The model's queue is full")
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    assert refused.error.details[0].Unpack(info)
    assert refused.error.details[1].Unpack(retry)
    assert (info.reason, retry.retry_delay.ToMicroseconds()) == ("QUEUE_FULL", 250_000)


def test_a_rest_answer_says_that_it_is_json() -> None:
    response = query_service_pb2.PredictJsonResponse.FromString(protobuf.json_response(b"{}"))
    assert response.body == httpbody_pb2.HttpBody(content_type="application/json", data=b"{}")
