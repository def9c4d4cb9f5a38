"""Between the contracts' messages and the engine's objects: the only protobuf code besides the servicer's services."""

import itertools
from collections.abc import Sequence
from typing import TypeVar

from clipper.v1 import input_pb2, model_container_service_pb2, query_service_pb2
from google.protobuf.message import DecodeError, Message

from services.common import input_types, status, tensors
from services.common.errors import ClipperError, InvalidInput
from services.common.lessons import FeedbackStatus
from services.common.names import InputType
from services.query import wire
from services.query.api.choice import choice
from services.query.api.request_limits import RequestLimits
from services.query.api.timing import timing
from services.query.engine.choosing.selected import Pick, Selection
from services.query.engine.feedback import FeedbackItem
from services.query.engine.requests import EXPLANATIONS, DefaultReason, Query, Request
from services.query.engine.versions import Batch

_MessageT = TypeVar("_MessageT", bound=Message)

_FEEDBACK_STATUSES = {
    FeedbackStatus.LEARNED: query_service_pb2.FEEDBACK_STATUS_LEARNED,
    FeedbackStatus.ALREADY_LEARNED: query_service_pb2.FEEDBACK_STATUS_ALREADY_LEARNED,
    FeedbackStatus.UNKNOWN_QUERY: query_service_pb2.FEEDBACK_STATUS_UNKNOWN_QUERY,
}

_STREAM_REQUEST = query_service_pb2.PredictStreamRequest.DESCRIPTOR
_LENGTH_DELIMITED = 2
_DATA_TAG = bytes([input_pb2.Inputs.DATA_FIELD_NUMBER << 3 | _LENGTH_DELIMITED])
_PREDICTION_TAG = bytes([query_service_pb2.PredictResponse.PREDICTIONS_FIELD_NUMBER << 3 | _LENGTH_DELIMITED])
_RESPONSE_TAG = bytes([query_service_pb2.PredictStreamResponse.RESPONSE_FIELD_NUMBER << 3 | _LENGTH_DELIMITED])
_QUERY_ID_TAG = bytes([query_service_pb2.Prediction.QUERY_ID_FIELD_NUMBER << 3])
_REQUEST_ID_TAG = bytes([query_service_pb2.PredictStreamResponse.REQUEST_ID_FIELD_NUMBER << 3])
_INPUTS_TAG = bytes([model_container_service_pb2.PredictBatchRequest.INPUTS_FIELD_NUMBER << 3 | _LENGTH_DELIMITED])
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


def predict_json_request(message: bytes, limits: RequestLimits) -> tuple[str, bytes]:
    """Decodes what Envoy made of a REST request: the application's name and the body.

    Raises:
        InvalidInput: it is not one.
        LimitExceeded: it has too many parts.
    """
    request = _decode_request(query_service_pb2.PredictJsonRequest, message, limits)
    return request.application, request.body.data


def feedback_request(message: bytes, limits: RequestLimits) -> query_service_pb2.FeedbackRequest:
    """Decodes native feedback.

    Raises:
        InvalidInput: it is none.
        LimitExceeded: it has too many parts.
    """
    return _decode_request(query_service_pb2.FeedbackRequest, message, limits)


def feedback_items(
    request: query_service_pb2.FeedbackRequest, expected: InputType, limits: RequestLimits
) -> list[FeedbackItem]:
    """The feedback of a native request for an application that takes inputs of a type.

    Raises:
        InvalidInput: an input is of another type or malformed, or there are several in its place.
        LimitExceeded: there are too many items.
    """
    limits.check_feedback(len(request.feedback))
    return [_feedback_item(item, expected) for item in request.feedback]


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


def inputs(message: input_pb2.Inputs, expected: InputType) -> list[bytes]:
    """The packed inputs of a native request.

    Raises:
        InvalidInput: they are of another type than the application's, or malformed.
    """
    input_type = input_types.FROM_PROTO.get(message.type)
    if input_type is not expected:
        given = "unspecified" if input_type is None else f"'{input_type}'"
        raise InvalidInput(f"The input type is {given}, but the application takes '{expected}'")
    return tensors.split(expected, message.data, message.lengths)


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
        after_id = _varint(first >> 7) + prediction
        before_id = _PREDICTION_TAG + _varint(len(_QUERY_ID_TAG) + 1 + len(after_id)) + _QUERY_ID_TAG
        parts += (before_id, (after_id + before_id).join(_LOW_BITS[low : low + alike]), after_id)
        first += alike
    return b"".join(parts)


def predict_stream_message(request_id: int, response: bytes) -> bytes:
    """A PredictStreamResponse around a PredictResponse."""
    return b"".join((_REQUEST_ID_TAG, _varint(request_id), _RESPONSE_TAG, _varint(len(response)), response))


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


def _feedback_item(item: query_service_pb2.FeedbackItem, expected: InputType) -> FeedbackItem:
    data = None
    if item.HasField("input"):
        if len(item.input.lengths) != 1:
            raise InvalidInput(f"Feedback is on one input, but there are {len(item.input.lengths)}")
        (data,) = inputs(item.input, expected)
    return FeedbackItem(
        query_id=item.query_id if item.HasField("query_id") else None,
        input=data,
        context=item.context,
        label=item.label if item.HasField("label") else None,
        reward=item.reward if item.HasField("reward") else None,
        feedback_id=item.feedback_id if item.HasField("feedback_id") else None,
    )


def batch_request(batch: Batch) -> bytes:
    """A batch as its replica takes it.

    The inputs are the last field of the message and joined here, since protobuf would copy them four times: with 784
    doubles an input, 2.6 µs of processor time for each instead of 0.6.
    """
    tasks = batch.tasks
    input_type = tasks[0].version.record.input_type
    packed = [task.input for task in tasks]
    width = tensors.ELEMENT_BYTES[input_type]
    sizes = [len(data) for data in packed]
    latest_deadline_s = max([task.deadline_s for task in tasks])
    request = model_container_service_pb2.PredictBatchRequest(
        batch_id=batch.batch_id, timeout_micros=max(1, int((latest_deadline_s - batch.sent_s) * 1e6))
    )
    inputs = input_pb2.Inputs(type=input_types.TO_PROTO[input_type], lengths=[size // width for size in sizes])
    inputs_start = inputs.SerializeToString() + _DATA_TAG + _varint(sum(sizes))
    request_start = request.SerializeToString() + _INPUTS_TAG + _varint(len(inputs_start) + sum(sizes))
    return b"".join((request_start, inputs_start, *packed))


def batch_response(message: bytes) -> tuple[int, Sequence[str], dict[int, str], float]:
    """A replica's answer: batch id, outputs, failures by place in the batch, and seconds spent in the model's code.

    Raises:
        InvalidInput: it is not one.
    """
    response = _decode(model_container_service_pb2.PredictBatchResponse, message)
    failures = {failure.index: failure.message for failure in response.failures} if response.failures else {}
    return response.batch_id, response.outputs, failures, response.model_micros / 1e6


def json_response(body: bytes) -> bytes:
    """A REST answer as Envoy takes it, for PredictJson, FeedbackJson and GetMetrics alike."""
    response = query_service_pb2.PredictJsonResponse()
    response.body.content_type = "application/json"
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


def _varint(number: int) -> bytes:
    """A number as protobuf writes lengths: seven bits a byte, the lowest first."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
