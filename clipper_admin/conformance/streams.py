"""The checks of what holds for a stream and among several."""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from clipper_admin.conformance.batches import Batch
from clipper_admin.conformance.probes import Probe
from clipper_admin.conformance.stream import Ending, Stream
from clipper_admin.conformance.subject import Subject
from clipper_admin.conformance.verdicts import Broken

_PIPELINED = 200
_STREAMS = 8
_CANCELLED = 32
_LONGEST = 5
# Beyond 2**53, which is all that a double holds exactly, and 2**63, which is all that a signed number holds.
_LARGE_IDS = (2**53 + 1, 2**63 + 1, 2**64 - 1)
# A server of gRPC's core that takes pings for abuse closes the connection at the fourth, or the fifth.
_PINGS = 5.5


def order(subject: Subject) -> None:
    """Pipelined batches are answered in the order sent, each with its own outputs."""
    probes = subject.asked()
    with subject.stream() as stream:
        batches = list(_different(stream, probes, _PIPELINED))
        stream.send(*batches)
        for _ in batches:
            stream.judge()
        stream.end()
    subject.check_outputs()


def ids(subject: Subject) -> None:
    """The batch_id comes back as it was sent, whatever it is."""
    with subject.stream() as stream:
        for batch_id in _LARGE_IDS:
            stream.send(dataclasses.replace(stream.batch(subject.probes[:1]), batch_id=batch_id))
            stream.replies()


def streams(subject: Subject) -> None:
    """Streams are served side by side; one that is idle is in nobody's way."""
    probes = subject.asked()
    with ExitStack() as stack:
        opened = [stack.enter_context(subject.stream()) for _ in range(_STREAMS)]
        for shift, stream in enumerate(opened):
            stream.send(*_different(stream, probes, 1, shift))
            stream.judge()
        idle, *others = opened
        for shift, stream in enumerate(others):
            stream.send(*_different(stream, probes, _STREAMS, shift))
        for stream in others * _STREAMS:
            stream.judge()
        for stream in (*others, idle):
            stream.end()


def deadlines(subject: Subject) -> None:
    """A batch for which nobody waits any more is answered, too: in its turn, with outputs or failures."""
    probes = subject.asked()
    with subject.stream() as stream:
        for _ in range(_STREAMS):
            stream.send(stream.batch(probes, timeout_micros=1), stream.batch(probes))
        for _ in range(_STREAMS):
            stream.replies()
            stream.judge()


def cancellation(subject: Subject) -> None:
    """Streams that break, with batches in them, cost others nothing."""
    probes = subject.asked()
    for _ in range(_CANCELLED):
        with subject.stream() as stream:
            stream.send(stream.batch(probes))
            stream.judge()
            stream.send(*_different(stream, probes, _LONGEST))
            stream.cancel()
    with subject.stream() as stream:
        stream.send(stream.batch(probes))
        stream.judge()


def half_close(subject: Subject) -> None:
    """A stream that is half-closed ends when all of its batches are answered, and well."""
    probes = subject.asked()
    with subject.stream() as stream:
        batches = list(_different(stream, probes, _STREAMS))
        stream.send(*batches)
        stream.half_close()
        for _ in batches:
            stream.judge()
        stream.end()


def pings(subject: Subject) -> None:
    """An idle stream that is pinged as query services do stays open."""
    interval_s = subject.ping_interval_s
    with subject.stream(options=_pinging(interval_s)) as stream:
        stream.send(stream.batch(subject.probes))
        stream.replies()
        came = stream.next_within(_PINGS * interval_s)
        if isinstance(came, Ending):
            raise Broken(
                f"An idle stream that was pinged every {interval_s:g} s ended with {came}; the server has to be told "
                "to permit such pings"
            )
        stream.send(stream.batch(subject.probes))
        stream.replies()


def _pinging(interval_s: float) -> Sequence[tuple[str, int]]:
    interval_ms = int(interval_s * 1000)
    return (
        ("grpc.keepalive_time_ms", interval_ms),
        ("grpc.keepalive_timeout_ms", interval_ms),
        ("grpc.http2.ping_timeout_ms", interval_ms),
        ("grpc.http2.max_pings_without_data", 0),
    )


def _different(stream: Stream, probes: Sequence[Probe], count: int, shift: int = 0) -> Iterator[Batch]:
    """Batches of which no two that follow each other begin with the same input, nor are equally long."""
    for number in range(shift, shift + count):
        rotated = itertools.islice(itertools.cycle(probes), number, number + 1 + number % _LONGEST)
        yield stream.batch(list(rotated))
