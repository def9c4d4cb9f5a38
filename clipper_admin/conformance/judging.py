"""What is wrong with an answer."""

from clipper_admin.conformance.batches import Answer, Batch
from clipper_admin.conformance.probes import Probe, Reply
from clipper_admin.conformance.verdicts import Broken

# Clocks are read at different moments.
_TOLERANCE_S = 0.001


def replies(batch: Batch, sent_s: float, answer: Answer) -> list[Reply]:
    """What an answer says to each input of the batch, in order.

    Args:
        batch: what was asked.
        sent_s: when, on the clock of time.monotonic.
        answer: what came.

    Raises:
        Broken: it does not answer this batch, or not each input once.
    """
    if answer.batch_id != batch.batch_id:
        raise Broken(
            f"Batch {batch.batch_id} was the next to be answered, and the answer that came has the batch_id "
            f"{answer.batch_id}"
        )
    count = len(batch.probes)
    if len(answer.outputs) != count:
        raise Broken(f"Batch {batch.batch_id}, of {batch.size}, was answered with {len(answer.outputs)} outputs")
    failures = _failures(batch, answer)
    took_s = answer.came_s - sent_s
    if answer.model_micros / 1e6 > took_s + _TOLERANCE_S:
        raise Broken(
            f"An answer that took {took_s * 1e6:.0f} µs in all says that {answer.model_micros} µs of it went into the "
            "model; model_micros counts microseconds"
        )
    return [Reply(output, failures.get(place)) for place, output in enumerate(answer.outputs)]


def judge(batch: Batch, sent_s: float, answer: Answer) -> None:
    """Compares an answer with what is known of the inputs.

    Raises:
        Broken: it is not right.
    """
    found = replies(batch, sent_s, answer)
    for place, (probe, reply) in enumerate(zip(batch.probes, found, strict=True)):
        if probe.alone is not None and not _same(probe.alone, reply):
            raise Broken(
                f"The input {probe.text} has {probe.alone} when it is asked alone, and {reply} at place {place} of "
                f"batch {batch.batch_id}, of {batch.size}{_hint(batch, place, reply)}"
            )


def _failures(batch: Batch, answer: Answer) -> dict[int, str]:
    failures: dict[int, str] = {}
    for place, message in answer.failures:
        if place >= len(batch.probes):
            raise Broken(f"A failure has the index {place} in a batch of {batch.size}; it counts from 0")
        if place in failures:
            raise Broken(f"There are two failures for the input at place {place} of a batch")
        if answer.outputs[place]:
            raise Broken(f"The input at place {place} of a batch has a failure and an output, which has to be empty")
        if not message:
            raise Broken(f"The failure for the input at place {place} of a batch has no message")
        failures[place] = message
    return failures


def _same(known: Reply, reply: Reply) -> bool:
    # The messages of one failure may differ, as with what is in the batch beside it.
    return known.output == reply.output and (known.failure is None) is (reply.failure is None)


def _hint(batch: Batch, place: int, reply: Reply) -> str:
    if reply.failure is not None:
        return "; a failure is that of one input, and the others of its batch have their outputs"
    others = [index for index, probe in enumerate(batch.probes) if index != place and _answers(probe, reply)]
    return (
        f", which is that of the input at place {others[0]}; outputs are in the order of the inputs" if others else ""
    )


def _answers(probe: Probe, reply: Reply) -> bool:
    return probe.alone is not None and _same(probe.alone, reply)
