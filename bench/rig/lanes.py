"""Lanes: one kind of call to one server each, measured in turn so that neighbouring figures can be compared."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from bench.rig import load, payloads, probes
from bench.rig.cluster import Cluster
from bench.rig.counters import Counters
from bench.rig.errors import BenchmarkError
from bench.rig.load import Generator, Load
from bench.rig.meter import ENVOY, Meter
from bench.rig.models import Model
from bench.rig.probes import Probe

_FIRST_WARM_UP_S = 0.3
_WARM_UP_S = 1.0
_PROBES = 5

_Measured = TypeVar("_Measured")


@dataclass(frozen=True, slots=True)
class Lane:
    """One kind of call to one server.

    Attributes:
        generator: makes the calls.
        probe: makes one and looks at the answer.
        predictions_a_call: how many predictions each call asks for.
        meter: of those who work for it.
        is_counted: whether the server counts; the baseline does not.
    """

    generator: Generator
    probe: Probe
    predictions_a_call: int
    meter: Meter
    is_counted: bool = True


@dataclass(frozen=True, slots=True)
class Server:
    """Somebody who answers predictions, and the lanes to measure it in.

    Attributes:
        address: host:port for native calls.
        application: whom to ask for.
        meter: of those who work for a native call.
        directory: makes one for a generator's files.
        edge: host:port of the Envoy in front of it.
        envoy: that one's process.
        is_counted: whether it counts.
    """

    address: str
    application: str
    meter: Meter
    directory: Callable[[], Path]
    edge: str = ""
    envoy: Sequence[int] = ()
    is_counted: bool = True

    @classmethod
    def of(cls, cluster: Cluster, application: str, models: Sequence[Model], directory: Callable[[], Path]) -> "Server":
        """A cluster's first query service, asked for an application of these models."""
        meter = cluster.meter(application, models)
        return cls(cluster.query.address, application, meter, directory, cluster.edge, cluster.envoy())

    def native(self, in_flight: int, vectors: int = 1) -> Lane:
        """Predict calls, so many in flight on one connection."""
        message = payloads.vector_request(self.application, vectors).SerializeToString()
        return self._native(payloads.PREDICT, [message], vectors, in_flight)

    def stream(self, streams: int, pipelined: int) -> Lane:
        """PredictStream calls that pipeline many predictions each."""
        messages = payloads.predict_stream_requests(self.application, pipelined)
        return self._native(payloads.PREDICT_STREAM, messages, pipelined, streams)

    def rest(self, connections: int) -> Lane:
        """REST calls, one after the other on each connection."""
        generator = load.rest(self.edge, self.application, connections, self.directory())
        meter = Meter(self.meter.counters, {**self.meter.pids, ENVOY: self.envoy})
        return Lane(generator, probes.rest(self.edge, self.application), 1, meter, self.is_counted)

    def _native(self, path: str, messages: Sequence[bytes], predictions: int, in_flight: int) -> Lane:
        generator = load.native(self.address, path, messages, in_flight, self.directory())
        probe = probes.native(self.address, path, messages, predictions)
        return Lane(generator, probe, predictions, self.meter, self.is_counted)


@dataclass(frozen=True, slots=True)
class Sample:
    """What one measurement found.

    Attributes:
        predictions_per_s: the rate.
        p50_s, p99_s: quantiles of the time that a call took.
        cpu_micros: microseconds of processor time for each prediction, by process, the generator included.
        mean_batch: inputs in a batch, on average; 0 when there was none or nobody counts them.
    """

    predictions_per_s: float
    p50_s: float
    p99_s: float
    cpu_micros: Mapping[str, float]
    mean_batch: float


def in_turn(measurements: Mapping[str, Callable[[], _Measured]], rounds: int) -> dict[str, list[_Measured]]:
    """Makes all measurements, one after the other, as often as there are rounds; what they found, by their names."""
    found: dict[str, list[_Measured]] = {name: [] for name in measurements}
    for number in range(rounds):
        for name, measure in measurements.items():
            found[name].append(measure())
            print(f"round {number + 1} of {rounds}: {name}", file=sys.stderr, flush=True)
    return found


def measure(lane: Lane, seconds: float) -> Sample:
    """Measures a lane for about `seconds`.

    Raises:
        BenchmarkError: a call failed, an answer is wrong, or generator and service disagree about how many there were.
    """
    lane.generator.run(_FIRST_WARM_UP_S)
    lane.generator.run(_WARM_UP_S)
    smallest = min(lane.probe() for _ in range(_PROBES))
    before = lane.meter.read()
    done = lane.generator.run(seconds)
    spent = lane.meter.read() - before
    largest = max(lane.probe() for _ in range(_PROBES))

    predictions = done.calls * lane.predictions_a_call
    _check_answers(done, smallest, largest)
    if lane.is_counted:
        check_counts(spent.counted, predictions)
    return Sample(
        predictions_per_s=done.calls_per_s * lane.predictions_a_call,
        p50_s=done.p50_s,
        p99_s=done.p99_s,
        cpu_micros=spent.cpu_micros(predictions, done.cpu_s),
        mean_batch=spent.mean_batch,
    )


def check_counts(counted: Counters, predictions: int) -> None:
    """BenchmarkError when a service did not count so many predictions, or default outputs among them."""
    if counted.predictions != predictions:
        raise BenchmarkError(f"the generator counted {predictions} predictions, the service {counted.predictions}")
    if counted.defaults:
        raise BenchmarkError(f"{counted.defaults} of {counted.predictions} predictions were default outputs")


def _check_answers(done: Load, smallest: int, largest: int) -> None:
    # Answers carry ascending query ids and so never get shorter. Defaults and errors are of quite another size.
    if not done.calls * smallest <= done.answer_bytes <= done.calls * largest:
        raise BenchmarkError(
            f"{done.calls} answers of {smallest} to {largest} bytes are not the {done.answer_bytes} that came"
        )
