"""`python -m bench.overload`: what is still predicted in time when the query service's own processor is the limit.

The query service is held to a fixed part of a processor, so that neither the generator nor the model, which returns at
once, is what is measured. Calls of 64 vectors come at random times, at multiples of what it can do, whatever comes
back. A call is late by the time at which it was to be made, so the generator's own lag counts, too, and is shown.
"""

import argparse
import logging
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import grpc
from clipper.v1 import management_service_pb2
from clipper.v1.management_service_pb2_grpc import ManagementServiceStub

from bench import payloads, probes
from bench.cluster import ADAPTIVE, running_cluster, running_query_service
from bench.cpu_limits import limited
from bench.errors import BenchmarkError
from bench.lanes import VECTORS_A_CALL
from bench.slo import questions
from bench.slo.finding import ms, per_s
from bench.slo.load import Generator, Job, Outcome
from bench.slo.questions import Question
from bench.tables import table

_OBJECTIVES_S = (0.02, 0.1)
_TIMES = (1.0, 1.5, 2.0, 4.0)
# What must be predicted in time, in capacities, and what may be answered late, in calls.
_LEAST_GOODPUT = {1.5: 0.9, 2.0: 0.75, 4.0: 0.4}
_MOST_LATE = {2.0: 0.01}
_OUTSTANDING = 16
_FAR_S = 2.0
_WARM_UP_S = 1.0
# Whoever has used up its part of a period waits for the next, so a period must be much shorter than an objective.
_PERIOD_MICROS = 6_000


@dataclass(frozen=True, slots=True)
class Sample:
    """What one load came to.

    Attributes:
        kind: how the calls are made.
        slo_s: the objective.
        times: how many capacities were asked for.
        capacity: predictions a second.
        outcome: what came of it.
    """

    kind: str
    slo_s: float
    times: float
    capacity: float
    outcome: Outcome

    @property
    def goodput(self) -> float:
        """Predictions in time, in capacities."""
        return self.outcome.good_per_s / self.capacity

    @property
    def late(self) -> float:
        """Which part of the answers was late."""
        return self.outcome.late_calls / self.outcome.calls

    @property
    def is_missed(self) -> bool:
        """Whether it is on the wrong side of a bound."""
        return self.goodput < _LEAST_GOODPUT.get(self.times, 0.0) or self.late > _MOST_LATE.get(self.times, 1.0)


def main() -> int:
    """Runs the benchmark; returns the exit code."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda _signal, _frame: sys.exit("The benchmark was terminated"))
    logging.disable(logging.INFO)
    try:
        samples = run(arguments.seconds, arguments.cpus)
    except BenchmarkError as error:
        print(f"The benchmark failed: {error}", file=sys.stderr)
        return 2
    print(report(samples))
    return 1 if any(sample.is_missed for sample in samples) else 0


def run(seconds: float, cpus: float) -> list[Sample]:
    """All loads, each for so many seconds, with so much of a processor for the query service.

    Raises:
        BenchmarkError: a process did not start, an answer is wrong or missing, or limits cannot be set.
    """
    samples = []
    with (
        tempfile.TemporaryDirectory(prefix="bench-overload-") as directory,
        running_cluster(Path(directory) / "cluster") as cluster,
        running_query_service(Path(directory) / "limited", cluster, 1) as service,
        Generator() as generator,
    ):
        for slo_s in _OBJECTIVES_S:
            _register(cluster.management, slo_s)
        for name in map(_application, _OBJECTIVES_S):
            is_predicting = partial(probes.is_predicting, service.address, name)
            service.process.wait_until(is_predicting, f"the start of {name}")
        (pid,) = service.process.workers
        with limited(pid, cpus, _PERIOD_MICROS):
            for kind, unary in (("Predict", True), ("PredictStream", False)):
                job = Job(service.address, "", VECTORS_A_CALL, _FAR_S, seconds, unary=unary)
                capacity = _capacity(generator, replace(job, questions=_ask(directory, ADAPTIVE)))
                for slo_s in _OBJECTIVES_S:
                    asked = replace(job, slo_s=slo_s, questions=_ask(directory, _application(slo_s)))
                    for times in _TIMES:
                        at_rate = replace(asked, calls_per_s=times * capacity / VECTORS_A_CALL)
                        generator.run(replace(at_rate, seconds=_WARM_UP_S))
                        samples.append(Sample(kind, slo_s, times, capacity, generator.run(at_rate)))
                        print(_row(samples[-1]), file=sys.stderr, flush=True)
    return samples


def report(samples: Sequence[Sample]) -> str:
    """A table."""
    head = (
        *("calls", "objective, ms", "capacity/s", "asked, in capacities", "predicted in time", "late answers"),
        *("p50, ms", "p99, ms", "generator's lag, p99, ms", "defaults", ""),
    )
    return table(head, [_row(sample) for sample in samples])


def _row(sample: Sample) -> tuple[str, ...]:
    outcome = sample.outcome
    return (
        sample.kind,
        ms(sample.slo_s),
        per_s(sample.capacity),
        f"{sample.times:g}",
        f"**{sample.goodput:.2f}**",
        f"{sample.late:.2%}",
        ms(outcome.p50_s),
        ms(outcome.p99_s),
        ms(outcome.lag_p99_s),
        _reasons(outcome),
        "missed" if sample.is_missed else "",
    )


def _reasons(outcome: Outcome) -> str:
    return ", ".join(
        f"{reason.removeprefix('DEFAULT_REASON_').lower()} {count / outcome.asked:.0%}"
        for reason, count in sorted(outcome.defaults.items())
    )


def _capacity(generator: Generator, job: Job) -> float:
    """The most predictions a second, far from any deadline."""
    at_most = replace(job, outstanding=_OUTSTANDING)
    generator.run(replace(at_most, seconds=_WARM_UP_S))
    return generator.run(at_most).good_per_s


def _ask(directory: str, application: str) -> str:
    """The file of the call to an application."""
    file = Path(directory) / f"{application}.bin"
    message = payloads.predict_request(application, VECTORS_A_CALL).SerializeToString()
    questions.write([Question(message, (payloads.OUTPUT,) * VECTORS_A_CALL)], file)
    return str(file)


def _application(slo_s: float) -> str:
    return f"within-{slo_s * 1e3:.0f}-ms"


def _register(management: str, slo_s: float) -> None:
    with grpc.insecure_channel(management) as channel:
        stub = ManagementServiceStub(channel)
        name = _application(slo_s)
        stub.AddApplication(
            management_service_pb2.AddApplicationRequest(
                name=name, input_type="doubles", default_output="none", latency_slo_micros=round(slo_s * 1e6)
            )
        )
        stub.AddModelLinks(management_service_pb2.AddModelLinksRequest(app_name=name, model_names=[ADAPTIVE]))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.overload",
        description="Measures what is predicted in time beyond the capacity of the query service's processor.",
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each measurement takes (default: 5)")
    parser.add_argument(
        "--cpus", type=float, default=0.2, help="how much of a processor the query service has (default: 0.2)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
