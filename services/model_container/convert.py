"""Between the contract's messages and batches and answers: the container's only protobuf code besides the RPCs'."""

import math

from clipper.v1 import model_container_service_pb2
from google.protobuf.message import DecodeError

from services.common import input_types, tensors
from services.common.errors import InvalidInput
from services.common.names import InputType
from services.model_runtime.prediction import Answer, Batch


def request(message: bytes) -> model_container_service_pb2.PredictBatchRequest:
    """Decodes a request.

    Raises:
        InvalidInput: it is not one.
    """
    try:
        return model_container_service_pb2.PredictBatchRequest.FromString(message)
    except DecodeError:
        raise InvalidInput("This is not a PredictBatchRequest") from None


def batch(request: model_container_service_pb2.PredictBatchRequest, expected: InputType, received_s: float) -> Batch:
    """The batch of a request that came at `received_s`.

    Raises:
        InvalidInput: it is of another type than the model's, has no inputs, or its lengths do not add up.
    """
    inputs = request.inputs
    input_type = input_types.FROM_PROTO.get(inputs.type)
    if input_type is not expected:
        given = "unspecified" if input_type is None else f"'{input_type}'"
        raise InvalidInput(f"The batch's input type is {given}, but the model takes '{expected}'")
    data, lengths = inputs.data, inputs.lengths[:]
    if not lengths:
        raise InvalidInput("The batch has no inputs")
    if sum(lengths) * tensors.ELEMENT_BYTES[expected] != len(data):
        raise InvalidInput(
            f"The inputs' lengths add up to {sum(lengths)} elements of {tensors.ELEMENT_BYTES[expected]} bytes, "
            f"but the data has {len(data)} bytes"
        )
    deadline_s = received_s + request.timeout_micros / 1e6 if request.timeout_micros else math.inf
    return Batch(expected, data, lengths, deadline_s)


def response(batch_id: int, answer: Answer) -> bytes:
    """The message that answers a batch."""
    response = model_container_service_pb2.PredictBatchResponse(
        batch_id=batch_id,
        outputs=answer.outputs,
        failures=[
            model_container_service_pb2.InputFailure(index=index, message=message)
            for index, message in answer.failures.items()
        ],
        model_micros=answer.model_micros,
    )
    return response.SerializeToString()
