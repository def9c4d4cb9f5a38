"""Between the messages of clients and the engine's objects."""

import itertools
from collections.abc import Sequence
from typing import TypeVar

from clipper.v1 import input_pb2, query_service_pb2
from google.protobuf.message import DecodeError, Message

from services.common import input_types, status, tensors
from services.common.errors import ClipperError, InvalidInput
from services.common.lessons import FeedbackStatus
from services.common.records import Application
from services.query import wire
from services.query.api import input_checks
from services.query.api.asked import Asked, Options, RestQuestion
from services.query.api.choice import choice
from services.query.api.request_limits import RequestLimits
from services.query.api.timing import timing
from services.query.engine.feedback import FeedbackItem
from services.query.engine.requests import EXPLANATIONS, DefaultReason, Pick, Query, Request, Selection

_MessageT = TypeVar("_MessageT", bound=Message)

_FEEDBACK_STATUSES = {
    FeedbackStatus.LEARNED: query_service_pb2.FEEDBACK_STATUS_LEARNED,
    FeedbackStatus.ALREADY_LEARNED: query_service_pb2.FEEDBACK_STATUS_ALREADY_LEARNED,
    FeedbackStatus.UNKNOWN_QUERY: query_service_pb2.FEEDBACK_STATUS_UNKNOWN_QUERY,
}

_STREAM_REQUEST = query_service_pb2.PredictStreamRequest.DESCRIPTOR
_PREDICTION_TAG = wire.nested_tag(query_service_pb2.PredictResponse.PREDICTIONS_FIELD_NUMBER)
_RESPONSE_TAG = wire.nested_tag(query_service_pb2.PredictStreamResponse.RESPONSE_FIELD_NUMBER)
_QUERY_ID_TAG = bytes([query_service_pb2.Prediction.QUERY_ID_FIELD_NUMBER << 3])
_REQUEST_ID_TAG = bytes([query_service_pb2.PredictStreamResponse.REQUEST_ID_FIELD_NUMBER << 3])
# A varint's first bytes, when more follow.
_LOW_BITS = [bytes([bits | 0x80]) for bits in range(0x80)]


def predict_request(message: bytes, limits: RequestLimits) -> query_service_pb2.PredictRequest:
    """Decodes a native request.

    Raises:
        InvalidInput: it is not one.
        LimitExceeded: it has too many parts or inputs.
    """
    request = _decode_request(query_service_pb2.PredictRequest, message, limits)
    limits.check_inputs(len(request.inputs.lengths))
    return request


def predict_stream_request(message: bytes, limits: RequestLimits) -> query_service_pb2.PredictStreamRequest:
    """Decodes a pipelined request.

    Raises:
        InvalidInput: it is not one.
        LimitExceeded: it has too many parts or inputs.
    """
    request = _decode_request(query_service_pb2.PredictStreamRequest, message, limits)
    limits.check_inputs(len(request.request.inputs.lengths))
    return request


def request_id(message: bytes) -> int:
    """The id of a pipelined request that is not to be decoded; 0 when it is not within its first fields."""
    for field in itertools.islice(wire.fields(message), len(_STREAM_REQUEST.fields)):
        if field.number == query_service_pb2.PredictStreamRequest.REQUEST_ID_FIELD_NUMBER and not field.is_nested:
            return wire.read_varint(message, field.start)[0]
    return 0


def predict_json_request(message: bytes, limits: RequestLimits) -> RestQuestion:
    """Decodes what Envoy made of a REST request.

    Raises:
        InvalidInput: it is not one.
        LimitExceeded: it has too many parts.
    """
    request = _decode_request(query_service_pb2.PredictJsonRequest, message, limits)
    body, options = request.body, None
    if request.explain or request.forbid_default or request.uid or request.version:
        options = Options(request.version or None, request.uid, request.explain, request.forbid_default)
    return RestQuestion(request.application, body.content_type, body.data, options)


def feedback_request(message: bytes, limits: RequestLimits) -> query_service_pb2.FeedbackRequest:
    """Decodes native feedback.

    Raises:
        InvalidInput: it is none.
        LimitExceeded: it has too many parts.
    """
    return _decode_request(query_service_pb2.FeedbackRequest, message, limits)


def feedback_items(
    request: query_service_pb2.FeedbackRequest, application: Application, limits: RequestLimits
) -> list[FeedbackItem]:
    """The feedback of a native request for an application.

    Raises:
        InvalidInput: an input is not what it takes or malformed, or there are several in its place.
        LimitExceeded: there are too many items.
    """
    limits.check_feedback(len(request.feedback))
    return [_feedback_item(item, application) for item in request.feedback]


def feedback_json_request(message: bytes, limits: RequestLimits) -> tuple[str, bytes]:
    """Decodes what Envoy made of REST feedback: the application's name and the body.

    Raises:
        InvalidInput: it is none.
        LimitExceeded: it has too many parts.
    """
    request = _decode_request(query_service_pb2.FeedbackJsonRequest, message, limits)
    return request.application, request.body.data


def feedback_response(statuses: Sequence[FeedbackStatus]) -> bytes:
    """What became of native feedback."""
    results = [query_service_pb2.FeedbackResult(status=_FEEDBACK_STATUSES[status]) for status in statuses]
    return query_service_pb2.FeedbackResponse(results=results).SerializeToString()


def asked(request: query_service_pb2.PredictRequest, application: Application) -> Asked:
    """What a native request asks of an application.

    Raises:
        InvalidInput: the inputs are not what it takes, or malformed.
    """
    version = request.version if request.HasField("version") else None
    packed = inputs(request.inputs, application)
    return Asked(packed, version, request.context, request.explain, request.forbid_default)


def inputs(message: input_pb2.Inputs, application: Application) -> list[bytes]:
    """The packed inputs of a native request.

    Raises:
        InvalidInput: they are not what the application takes, or malformed.
    """
    expected = application.input_type
    input_type = input_types.FROM_PROTO.get(message.type)
    if input_type is not expected:
        given = "unspecified" if input_type is None else f"'{input_type}'"
        raise InvalidInput(f"The input type is {given}, but the application takes '{expected}'")
    packed = tensors.split(expected, message.data, message.lengths)
    if application.schema is not None:
        input_checks.check(packed, application, application.schema)
    return packed


def predict_response(request: Request) -> query_service_pb2.PredictResponse:
    """A finished request's answers."""
    response = query_service_pb2.PredictResponse()
    predictions = response.predictions
    # Added in place, since protobuf would copy every message that it is given.
    for number, query in enumerate(request.queries, request.first_query_id):
        prediction = predictions.add(query_id=number, output=query.output)
        if query.reason:
            _tell_reason(prediction, query)
        elif query.spent is not None:
            prediction.timing.CopyFrom(query_service_pb2.Timing(**timing(query.spent)))
    selection = request.selection
    if selection is not None and (selection.selector.tells_confidence or request.explain):
        for prediction, pick in zip(predictions, selection.picks, strict=True):
            _tell_choice(prediction, selection, pick, explain=request.explain)
    return response


def predict_stream_response(request_id: int, request: Request) -> query_service_pb2.PredictStreamResponse:
    """A finished pipelined request's answers."""
    return query_service_pb2.PredictStreamResponse(request_id=request_id, response=predict_response(request))


def predict_stream_error(request_id: int, error: ClipperError) -> query_service_pb2.PredictStreamResponse:
    """Why a finished pipelined request has no answers."""
    return query_service_pb2.PredictStreamResponse(
        request_id=request_id, error=status.to_proto(status.from_exception(error))
    )


def default_prediction(default_output: str, reason: DefaultReason) -> bytes:
    """A default output as a Prediction, without its query id."""
    return query_service_pb2.Prediction(
        output=default_output,
        is_default=True,
        default_reason=query_service_pb2.DefaultReason.ValueType(reason),
        default_explanation=EXPLANATIONS[reason],
    ).SerializeToString()


def alike_predictions(prediction: bytes, first_query_id: int, count: int) -> bytes:
    """A PredictResponse whose predictions are equal but for their query ids, from one without.

    Successive ids differ in their lowest seven bits, which come first, so that all is joined of a few pieces.
    """
    parts: list[bytes] = []
    first, end = first_query_id, first_query_id + count
    while first < end:
        low = first & 0x7F
        alike = min(end - first, 0x80 - low)
        after_id = wire.varint(first >> 7) + prediction
        before_id = _PREDICTION_TAG + wire.varint(len(_QUERY_ID_TAG) + 1 + len(after_id)) + _QUERY_ID_TAG
        parts += (before_id, (after_id + before_id).join(_LOW_BITS[low : low + alike]), after_id)
        first += alike
    return b"".join(parts)


def predict_stream_message(request_id: int, response: bytes) -> bytes:
    """A PredictStreamResponse around a PredictResponse."""
    return b"".join((_REQUEST_ID_TAG, wire.varint(request_id), _RESPONSE_TAG, wire.varint(len(response)), response))


def _tell_reason(prediction: query_service_pb2.Prediction, query: Query) -> None:
    prediction.is_default = True
    prediction.default_reason = query_service_pb2.DefaultReason.ValueType(query.reason)
    prediction.default_explanation = query.explanation


def _tell_choice(prediction: query_service_pb2.Prediction, selection: Selection, pick: Pick, *, explain: bool) -> None:
    if selection.selector.tells_confidence:
        prediction.confidence = pick.confidence
    if explain:
        told = choice(selection, pick)
        prediction.selection.probability = told["probability"]
        prediction.selection.arms.extend(query_service_pb2.ArmAnswer(**arm) for arm in told["arms"])


def _feedback_item(item: query_service_pb2.FeedbackItem, application: Application) -> FeedbackItem:
    data = None
    if item.HasField("input"):
        if len(item.input.lengths) != 1:
            raise InvalidInput(f"Feedback is on one input, but there are {len(item.input.lengths)}")
        (data,) = inputs(item.input, application)
    return FeedbackItem(
        query_id=item.query_id if item.HasField("query_id") else None,
        input=data,
        context=item.context,
        label=item.label if item.HasField("label") else None,
        reward=item.reward if item.HasField("reward") else None,
        feedback_id=item.feedback_id if item.HasField("feedback_id") else None,
    )


def json_response(body: bytes) -> bytes:
    """A REST answer in JSON as Envoy takes it, for PredictJson, FeedbackJson and GetMetrics alike."""
    return rest_response("application/json", body)


def rest_response(media_type: str, body: bytes) -> bytes:
    """A REST answer of another kind."""
    response = query_service_pb2.PredictJsonResponse()
    response.body.content_type = media_type
    response.body.data = body
    return response.SerializeToString()


def _decode_request(kind: type[_MessageT], message: bytes, limits: RequestLimits) -> _MessageT:
    if len(message) > limits.max_parts:
        limits.check_parts(wire.count_parts(kind.DESCRIPTOR, message, limits.max_parts))
    return _decode(kind, message)


def _decode(kind: type[_MessageT], message: bytes) -> _MessageT:
    try:
        return kind.FromString(message)
    except DecodeError:
        raise InvalidInput(f"This is not a {kind.DESCRIPTOR.full_name}") from None
