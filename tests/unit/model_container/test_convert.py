"""Requests become batches and answers become responses; malformed requests are told apart."""

import math

import pytest
from clipper.v1 import input_pb2, model_container_service_pb2

from services.common.errors import InvalidInput
from services.common.names import InputType
from services.model_container import convert
from services.model_runtime.prediction import Answer
from tests.fixtures.model_containers import INPUT_TYPES, packed

_Request = model_container_service_pb2.PredictBatchRequest


@pytest.mark.parametrize("input_type", list(InputType))
def test_a_request_becomes_a_batch(input_type: InputType) -> None:
    rows = ["a", "", "bcd"] if input_type is InputType.STRINGS else [[1], [], [2, 3, 4]]
    batch = convert.batch(_Request(inputs=packed(input_type, rows)), input_type, received_s=5.0)
    assert [list(row) for row in batch.inputs()] == [list(row) for row in rows]
    assert batch.deadline_s == math.inf


def test_the_deadline_counts_from_the_receipt() -> None:
    request = _Request(inputs=packed("doubles", [[1.0]]), timeout_micros=1_500_000)
    assert convert.batch(request, InputType.DOUBLES, received_s=5.0).deadline_s == 6.5


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (input_pb2.Inputs(data=bytes(8), lengths=[1]), "type is unspecified, but the model takes 'doubles'"),
        (packed("floats", [[1.0]]), "type is 'floats', but the model takes 'doubles'"),
        (input_pb2.Inputs(type=INPUT_TYPES["doubles"][0], data=bytes(8), lengths=[1, 1]), "add up to 2 elements"),
        (input_pb2.Inputs(type=INPUT_TYPES["doubles"][0], data=bytes(9), lengths=[1]), "the data has 9 bytes"),
        (input_pb2.Inputs(type=INPUT_TYPES["doubles"][0]), "no inputs"),
    ],
    ids=["unspecified", "other type", "too short", "too long", "none"],
)
def test_a_malformed_request_is_refused(inputs: input_pb2.Inputs, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        convert.batch(_Request(inputs=inputs), InputType.DOUBLES, received_s=0.0)


def test_an_answer_becomes_a_response() -> None:
    message = convert.response(9, Answer(["a", "", "c"], {1: "ValueError: b"}, 17))
    response = model_container_service_pb2.PredictBatchResponse.FromString(message)
    assert response == model_container_service_pb2.PredictBatchResponse(
        batch_id=9,
        outputs=["a", "", "c"],
        failures=[model_container_service_pb2.InputFailure(index=1, message="ValueError: b")],
        model_micros=17,
    )
