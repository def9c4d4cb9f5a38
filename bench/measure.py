"""One measurement: warm up, probe, load, and hold what the generator counted against what the service counted."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from bench.counters import Counters
from bench.errors import BenchmarkError
from bench.load import Generator, Load
from bench.probes import Probe

GENERATOR = "generator"
_FIRST_WARM_UP_S = 0.3
_WARM_UP_S = 1.0
_PROBES = 5


class Worker(Protocol):
    """Who uses the processor."""

    @property
    def cpu_s(self) -> float:
        """Seconds of processor time that it has used, in user and system mode."""


@dataclass(frozen=True, slots=True)
class Lane:
    """One kind of call to one server.

    Attributes:
        generator: makes the calls.
        probe: makes one and looks at the answer.
        predictions_a_call: how many predictions each call asks for.
        processes: who works for it, by their part in it.
        counters: the query service's own; None for the baseline, which has none.
    """

    generator: Generator
    probe: Probe
    predictions_a_call: int
    processes: Mapping[str, Worker]
    counters: Callable[[], Counters] | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """What one measurement found.

    Attributes:
        predictions: how many were answered.
        predictions_per_s: their rate.
        p50_s, p99_s: quantiles of the time that a call took.
        cpu_micros: microseconds of processor time for each prediction, by process, the generator included.
        mean_batch: inputs in a batch, on average; 0 when there was none or nobody counts them.
    """

    predictions: int
    predictions_per_s: float
    p50_s: float
    p99_s: float
    cpu_micros: Mapping[str, float] = field(default_factory=dict)
    mean_batch: float = 0.0


def measure(lane: Lane, seconds: float) -> Sample:
    """Measures a lane for about `seconds`.

    Raises:
        BenchmarkError: a call failed, an answer is wrong, or generator and service disagree about how many there were.
    """
    lane.generator.run(_FIRST_WARM_UP_S)
    lane.generator.run(_WARM_UP_S)
    smallest = min(lane.probe() for _ in range(_PROBES))
    counted_before = lane.counters() if lane.counters else None
    cpu_before_s = {name: process.cpu_s for name, process in lane.processes.items()}
    load = lane.generator.run(seconds)
    cpu_s = {name: process.cpu_s - cpu_before_s[name] for name, process in lane.processes.items()}
    counted = lane.counters() - counted_before if lane.counters and counted_before else None
    largest = max(lane.probe() for _ in range(_PROBES))

    _check_answers(load, smallest, largest)
    if counted is not None:
        _check_counts(lane, load, counted)
    predictions = load.calls * lane.predictions_a_call
    return Sample(
        predictions=predictions,
        predictions_per_s=load.calls_per_s * lane.predictions_a_call,
        p50_s=load.p50_s,
        p99_s=load.p99_s,
        cpu_micros={name: used_s / predictions * 1e6 for name, used_s in (cpu_s | {GENERATOR: load.cpu_s}).items()},
        mean_batch=counted.inputs / counted.batches if counted and counted.batches else 0.0,
    )


def _check_answers(load: Load, smallest: int, largest: int) -> None:
    # Answers carry ascending query ids and so never get shorter. Defaults and errors are of quite another size.
    if not load.calls * smallest <= load.answer_bytes <= load.calls * largest:
        raise BenchmarkError(
            f"{load.calls} answers of {smallest} to {largest} bytes are not the {load.answer_bytes} that came"
        )


def _check_counts(lane: Lane, load: Load, counted: Counters) -> None:
    fewest = load.calls * lane.predictions_a_call
    most = fewest + lane.generator.uncounted_calls * lane.predictions_a_call
    if not fewest <= counted.predictions <= most:
        raise BenchmarkError(f"the generator counted {fewest} to {most} predictions, the service {counted.predictions}")
    if counted.defaults:
        raise BenchmarkError(f"{counted.defaults} of {counted.predictions} predictions were default outputs")
