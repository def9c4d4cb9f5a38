"""The checks of health and of single batches: each looks at a container, and raises what it finds."""

import itertools
import time

from clipper_admin.conformance.probes import Probe, Reply
from clipper_admin.conformance.stream import Stream
from clipper_admin.conformance.subject import SERVING, Subject
from clipper_admin.conformance.verdicts import Broken, NotLookedAt

# The most that a query service puts into a batch.
_MOST_INPUTS = 4096
# The largest message that a query service takes, and what there is in it around the inputs.
_LARGEST_INPUT_BYTES = 64 * 1024 * 1024 - 1024
# What a first answer may take beyond the next ones: a connection and what is compiled just in time are no warm-up.
_COLD_S = 1.0


def health(subject: Subject) -> None:
    """It says that it serves."""
    said = subject.health()
    if said != SERVING:
        raise Broken(f"The health check of 'clipper.v1.ModelContainerService' answers {said}, not {SERVING}")


def start(subject: Subject) -> None:
    """It says so from when it can answer on, and not before."""
    subject.start()
    began_s = time.monotonic()
    with subject.stream() as stream:
        first, first_s = _timed(stream, subject.probes[0], began_s)
        again, again_s = _timed(stream, subject.probes[0], time.monotonic())
    if first.failure is not None and again.failure is None:
        raise Broken(f"The container said SERVING, and the first batch had {first}, the same batch {again} later")
    if first_s > _COLD_S + 10 * again_s:
        raise Broken(
            f"The container said SERVING, and the first batch took {first_s:.2f} s, the same batch later {again_s:.3f} "
            "s; it is to say so once its model is loaded and warmed up"
        )


def single(subject: Subject) -> None:
    """Each input alone has an output or a failure, the same each time."""
    with subject.stream() as stream:
        first, second = ([_alone(stream, probe) for probe in subject.probes] for _ in range(2))
    for probe, once, again in zip(subject.probes, first, second, strict=True):
        if (once.output, once.failure is None) != (again.output, again.failure is None):
            subject.is_steady = False
            raise NotLookedAt(
                f"the input {probe.text} has {once} once and {again} another time; answers are not compared"
            )
    subject.learn(first)


def expected(subject: Subject) -> None:
    """What somebody has said to expect comes."""
    expecting = [probe for probe in subject.probes if probe.expected is not None]
    if not expecting:
        raise NotLookedAt("--expect FILE says what the model is to answer")
    with subject.stream() as stream:
        for probe in expecting:
            reply = _alone(stream, probe)
            if probe.expected is not None and not probe.expected.is_met_by(reply):
                raise Broken(f"The input {probe.text} has {reply}, and {probe.expected} is expected")


def batch(subject: Subject) -> None:
    """Inputs of all lengths in one batch have their outputs in order."""
    subject.asked()
    with subject.stream() as stream:
        stream.send(stream.batch(subject.probes), stream.batch(subject.probes[::-1]))
        stream.judge()
        stream.judge()
    subject.check_outputs()


def large(subject: Subject) -> None:
    """A batch of as many inputs as there may be, and one of as many bytes."""
    probes = subject.asked()
    many = list(itertools.islice(itertools.cycle(probes), _MOST_INPUTS))
    huge = Probe("of 64 MiB", bytes(_LARGEST_INPUT_BYTES), _LARGEST_INPUT_BYTES // _width(subject))
    with subject.stream() as stream:
        stream.send(stream.batch(many))
        stream.judge()
        stream.send(stream.batch([huge]), stream.batch(probes))
        stream.replies()
        stream.judge()


def failures(subject: Subject) -> None:
    """An input for which the model fails costs no other its output."""
    subject.asked()
    if not subject.bad or not subject.good:
        wanted = "fails" if subject.good else "has an output"
        raise NotLookedAt(f"no input is known for which the model {wanted}; --expect FILE with one helps")
    mixed = [
        probe for good, bad in zip(subject.good, itertools.cycle(subject.bad), strict=False) for probe in (good, bad)
    ]
    with subject.stream() as stream:
        stream.send(stream.batch(mixed), stream.batch(subject.good))
        stream.judge()
        stream.judge()


def _width(subject: Subject) -> int:
    return next(len(probe.data) // probe.length for probe in subject.probes if probe.length)


def _alone(stream: Stream, probe: Probe) -> Reply:
    stream.send(stream.batch([probe]))
    [reply] = stream.replies()
    return reply


def _timed(stream: Stream, probe: Probe, began_s: float) -> tuple[Reply, float]:
    reply = _alone(stream, probe)
    return reply, time.monotonic() - began_s
