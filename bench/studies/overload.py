"""What is still predicted in time when the query service's own processor is the limit.

The query service has a fixed part of a processor, so that neither the generator nor the model, which returns at once,
is what is measured. Calls of 64 vectors come at random times, at multiples of what it can do, whatever comes back. A
call is late by the time at which it was to be made, so the generator's own lag counts, too, and is shown.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial

from bench.rig import payloads, probes, questions
from bench.rig.bench import Bench
from bench.rig.cluster import QueryService
from bench.rig.jobs import Generator, Job, Outcome
from bench.rig.lanes import in_turn
from bench.rig.models import constant
from bench.rig.processes import Process
from bench.rig.questions import Question
from bench.rig.report import Check, Finding
from bench.rig.slow_processor import others_elsewhere, slowed
from bench.rig.template import ms

_NATIVE, _STREAM, _REST = "Predict", "PredictStream", "REST"
# Envoy is not to be what is measured, which spends more on a request by REST than the query service on refusing it.
_CPUS = {_NATIVE: 0.5, _STREAM: 0.5, _REST: 0.3}
_CONNECTIONS = 300
_VECTORS_A_CALL = 64
_ROUNDS = 5
_SECONDS = 2.0
_OBJECTIVES_S = (0.02, 0.1)
_TIMES = (1.0, 1.5, 2.0, 4.0)
_TIMES_BY_REST = (1.0, 1.5, 2.0)
# What must be predicted in time, in capacities, and what may be answered late, in calls.
_LEAST_GOODPUT = {1.5: 0.9, 2.0: 0.75, 4.0: 0.4}
_LEAST_GOODPUT_BY_REST = {2.0: 0.6}
_MOST_LATE = {2.0: 0.01}
_OUTSTANDING = 16
_FAR_S = 2.0
_WARM_UP_S = 1.0


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

    def checks(self) -> list[Check]:
        what = f"{self.kind} within {ms(self.slo_s)} ms, {self.times:g} capacities"
        least = _LEAST_GOODPUT_BY_REST if self.kind == _REST else _LEAST_GOODPUT
        checks = []
        if self.times in least:
            checks.append(Check(f"{what}: predicted in time", self.goodput, least=least[self.times]))
        if self.times in _MOST_LATE and self.kind != _REST:
            checks.append(Check(f"{what}: late answers", self.outcome.late_share, most=_MOST_LATE[self.times]))
        return checks


@dataclass(frozen=True, slots=True)
class Overload(Finding):
    """What was found.

    Attributes:
        rounds: how often each load was measured.
        samples: of each load the round with the median goodput.
    """

    rounds: int
    samples: Sequence[Sample]

    def checks(self) -> list[Check]:
        return [check for sample in self.samples for check in sample.checks()]


def measure(bench: Bench) -> Overload:
    """All loads in turn, with a part of a processor for the query service.

    Raises:
        BenchmarkError: a process did not start, an answer is wrong or missing, or limits cannot be set.
    """
    model, cluster = constant("overloaded"), bench.cluster
    with ExitStack() as stack:
        stack.enter_context(cluster.serving(model))
        names = {slo_s: f"within-{slo_s * 1e3:.0f}-ms" for slo_s in (_FAR_S, *_OBJECTIVES_S)}
        for slo_s, name in names.items():
            stack.enter_context(cluster.application(name, [model], slo_s, use_cache=False))
        processor = stack.enter_context(others_elsewhere(cluster.parts().values()))
        service = stack.enter_context(cluster.extra_query_service(bench.directory(), name))
        (pid,) = service.pids
        samples: list[Sample] = []
        for kind, cpus in _CPUS.items():
            with slowed(pid, processor, cpus), _jobs(bench, kind, service, names) as jobs:
                samples += _samples(bench, kind, jobs)
    return Overload(bench.rounds(_ROUNDS), samples)


@contextmanager
def _jobs(bench: Bench, kind: str, service: QueryService, names: dict[float, str]) -> Iterator[dict[float, Job]]:
    """What is asked of each application, by its objective, for as long as measurements take, as yet without a load."""
    seconds, directory = bench.seconds(_SECONDS), bench.directory()
    if kind != _REST:
        yield {
            slo_s: Job(service.address, _question(bench, name), _VECTORS_A_CALL, slo_s, seconds, unary=kind == _NATIVE)
            for slo_s, name in names.items()
        }
        return
    edge, command = bench.cluster.edge_before(service.address, directory)
    with Process("Envoy", command, {}, directory / "envoy.log") as envoy:
        envoy.wait_until(partial(probes.is_serving, edge), "the start of an Envoy")
        yield {
            slo_s: Job(
                edge, _rest_question(bench, edge, name), _VECTORS_A_CALL, slo_s, seconds, connections=_CONNECTIONS
            )
            for slo_s, name in names.items()
        }


def _samples(bench: Bench, kind: str, jobs: dict[float, Job]) -> list[Sample]:
    """Of each load the round with the median goodput."""
    measurements = {
        f"{kind} within {ms(slo_s)} ms, {times:g} capacities": partial(
            bench.disturbances.avoid, partial(_sample, bench.generator, kind, jobs, slo_s, times)
        )
        for slo_s in _OBJECTIVES_S
        for times in (_TIMES_BY_REST if kind == _REST else _TIMES)
    }
    rounds = in_turn(measurements, bench.rounds(_ROUNDS))
    return [sorted(samples, key=lambda sample: sample.goodput)[len(samples) // 2] for samples in rounds.values()]


def _sample(generator: Generator, kind: str, jobs: dict[float, Job], slo_s: float, times: float) -> Sample:
    """One load, in capacities as they were found right before: machines drift."""
    capacity = _capacity(generator, jobs[_FAR_S])
    at_rate = replace(jobs[slo_s], calls_per_s=times * capacity / _VECTORS_A_CALL)
    generator.run(replace(at_rate, seconds=_WARM_UP_S))
    return Sample(kind, slo_s, times, capacity, generator.run(at_rate))


def _capacity(generator: Generator, job: Job) -> float:
    """The most predictions a second, far from any deadline."""
    at_most = replace(job, outstanding=_OUTSTANDING)
    generator.run(replace(at_most, seconds=_WARM_UP_S))
    return generator.run(at_most).good_per_s


def _question(bench: Bench, application: str) -> str:
    """The file of the native call to an application."""
    message = payloads.vector_request(application, _VECTORS_A_CALL).SerializeToString()
    return _file(bench, message)


def _rest_question(bench: Bench, edge: str, application: str) -> str:
    """The file of the call to an application by REST."""
    return _file(bench, payloads.http_request(edge, application, _VECTORS_A_CALL))


def _file(bench: Bench, message: bytes) -> str:
    asked = Question(message, (payloads.OUTPUT,) * _VECTORS_A_CALL)
    return str(questions.write([asked], bench.directory()))
