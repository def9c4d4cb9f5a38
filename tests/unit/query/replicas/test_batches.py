"""Messages of replicas to and from the engine's batches."""

import pytest
from clipper.v1 import input_pb2, model_container_service_pb2

from services.common.errors import InvalidInput
from services.common.names import InputType
from services.common.records import Application, ModelVersion, Replica
from services.common.tensors import ELEMENT_BYTES
from services.query.engine import versions
from services.query.engine.requests import NOBODY, Request, Task
from services.query.replicas import batches


def _request(*inputs: bytes, deadline_s: float = 1.0) -> Request:
    route = versions.Route(Application("app", InputType.DOUBLES, "fallback", 1_000), {})
    return Request(route, None, inputs, 40, 0.0, deadline_s, NOBODY)


def _batch(input_type: InputType, *waiting: Request, sent_s: float = 0.25) -> versions.Batch:
    """A batch with one task for each request, whose only input it has."""
    version = versions.Version(ModelVersion("m", "1", input_type), queue_capacity=10)
    replica = versions.Replica(Replica("m", "1", 0, input_type, "host:1"))
    tasks = [Task(version, request.queries[0].input, request.queries[0], None) for request in waiting]
    return replica.send(tasks, sent_s)


def test_an_answer_of_a_container_that_is_none_is_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match=r"clipper\.v1\.PredictBatchResponse$"):
        batches.batch_response(b"\xff\xff\xff")


def test_a_batch_packs_its_inputs_and_tells_the_time_until_its_latest_deadline() -> None:
    batch = _batch(InputType.DOUBLES, _request(b"a" * 16, deadline_s=0.5), _request(b"b" * 8), _request(b""))
    message = model_container_service_pb2.PredictBatchRequest.FromString(batches.batch_request(batch))
    assert message.batch_id == batch.batch_id
    assert message.inputs.type == input_pb2.INPUT_TYPE_DOUBLES
    assert message.inputs.data == b"a" * 16 + b"b" * 8
    assert list(message.inputs.lengths) == [2, 1, 0]
    assert message.timeout_micros == 750_000


@pytest.mark.parametrize("input_type", InputType)
def test_a_batch_of_one_is_the_input_itself_in_every_type(input_type: InputType) -> None:
    batch = _batch(input_type, _request(b"eight by"))
    message = model_container_service_pb2.PredictBatchRequest.FromString(batches.batch_request(batch))
    assert (message.inputs.data, list(message.inputs.lengths)) == (b"eight by", [8 // ELEMENT_BYTES[input_type]])


def test_a_batch_that_is_already_late_still_has_a_deadline() -> None:
    batch = _batch(InputType.DOUBLES, _request(b"", deadline_s=0.1), sent_s=0.2)
    assert model_container_service_pb2.PredictBatchRequest.FromString(batches.batch_request(batch)).timeout_micros == 1


def test_a_containers_answer_is_read() -> None:
    message = model_container_service_pb2.PredictBatchResponse(
        batch_id=9,
        outputs=["1", "", "3"],
        failures=[model_container_service_pb2.InputFailure(index=1, message="ValueError: no")],
        model_micros=2_500,
    )
    batch_id, outputs, failures, model_s = batches.batch_response(message.SerializeToString())
    assert (batch_id, list(outputs), failures, model_s) == (9, ["1", "", "3"], {1: "ValueError: no"}, 0.0025)
