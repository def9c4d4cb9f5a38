"""The checks of what no model can answer."""

from clipper_admin.conformance import probes
from clipper_admin.conformance.batches import Batch
from clipper_admin.conformance.probes import Probe
from clipper_admin.conformance.stream import Ending, Stream
from clipper_admin.conformance.subject import Subject
from clipper_admin.conformance.verdicts import Broken


def types(subject: Subject) -> None:
    """Inputs of another type than the model's fail, each of them, and the stream goes on."""
    other, inputs = probes.of_another_type(subject.input_type)
    with subject.stream() as stream:
        _refused(stream, stream.batch(inputs, input_type=other), f"inputs of the type {other}")
        _goes_on(stream, subject)


def lengths(subject: Subject) -> None:
    """Inputs whose lengths do not add up to the data fail, each of them, and the stream goes on."""
    cut = [Probe("cut off", b"123", 2), Probe("cut off", b"", 2)]
    with subject.stream() as stream:
        _refused(stream, stream.batch(cut), "inputs that are shorter than their lengths say")
        _goes_on(stream, subject)


def no_inputs(subject: Subject) -> None:
    """A batch without inputs is answered with no outputs, or ends its stream."""
    with subject.stream() as stream:
        stream.send(stream.batch([]))
        stream.next()


def garbage(subject: Subject) -> None:
    """What is no batch ends its stream."""
    with subject.stream() as stream:
        stream.send_bytes(b"\xff" * 16)
        if not isinstance(stream.next_within(subject.patience_s), Ending):
            raise Broken("A message that is no PredictBatchRequest has not ended its stream")


def _refused(stream: Stream, batch: Batch, what: str) -> None:
    stream.send(batch)
    answered = [reply for reply in stream.replies() if reply.failure is None]
    if answered:
        raise Broken(f"A batch of {what} was answered with {answered[0]}, and has to fail")


def _goes_on(stream: Stream, subject: Subject) -> None:
    stream.send(stream.batch(subject.probes))
    stream.judge()
