"""The messages of batches."""

from collections.abc import Sequence
from dataclasses import dataclass

from clipper.v1 import input_pb2, model_container_service_pb2
from google.protobuf.message import DecodeError

from clipper_admin.conformance.probes import Probe
from clipper_admin.conformance.verdicts import Broken

INPUT_TYPES = {
    "bytes": input_pb2.INPUT_TYPE_BYTES,
    "integers": input_pb2.INPUT_TYPE_INTS,
    "floats": input_pb2.INPUT_TYPE_FLOATS,
    "doubles": input_pb2.INPUT_TYPE_DOUBLES,
    "strings": input_pb2.INPUT_TYPE_STRINGS,
}


@dataclass(frozen=True, slots=True)
class Batch:
    """Inputs that are asked at once.

    Attributes:
        batch_id: tells it from the others of its stream.
        input_type: of all inputs.
        probes: the inputs.
        timeout_micros: how long somebody waits for the answer, in microseconds; 0: as long as it takes.
    """

    batch_id: int
    input_type: str
    probes: Sequence[Probe]
    timeout_micros: int = 0

    @property
    def size(self) -> str:
        """How many inputs it has, in words."""
        return "1 input" if len(self.probes) == 1 else f"{len(self.probes)} inputs"

    def message(self) -> bytes:
        """It as a container takes it."""
        inputs = input_pb2.Inputs(
            type=INPUT_TYPES[self.input_type],
            data=b"".join(probe.data for probe in self.probes),
            lengths=[probe.length for probe in self.probes],
        )
        request = model_container_service_pb2.PredictBatchRequest(
            batch_id=self.batch_id, inputs=inputs, timeout_micros=self.timeout_micros
        )
        return request.SerializeToString()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a container answers to a batch.

    Attributes:
        batch_id: to which.
        outputs: the outputs.
        failures: the failures, each with the place of its input.
        model_micros: microseconds in the model's code.
        came_s: when it came, on the clock of time.monotonic.
    """

    batch_id: int
    outputs: Sequence[str]
    failures: Sequence[tuple[int, str]]
    model_micros: int
    came_s: float


def answer(message: bytes, came_s: float) -> Answer:
    """Reads what came.

    Raises:
        Broken: it is no answer.
    """
    try:
        response = model_container_service_pb2.PredictBatchResponse.FromString(message)
    except DecodeError:
        raise Broken(
            f"A message of {len(message)} bytes came that is not a PredictBatchResponse; texts in it have to be UTF-8"
        ) from None
    failures = [(failure.index, failure.message) for failure in response.failures]
    return Answer(response.batch_id, list(response.outputs), failures, response.model_micros, came_s)
