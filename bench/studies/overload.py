"""What is still predicted in time when the query service's own processor is the limit.

The query service is held to a fixed part of a processor, so that neither the generator nor the model, which returns at
once, is what is measured. Calls of 64 vectors come at random times, at multiples of what it can do, whatever comes
back. A call is late by the time at which it was to be made, so the generator's own lag counts, too, and is shown.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from bench.rig import payloads, questions
from bench.rig.bench import Bench
from bench.rig.cores import limited
from bench.rig.jobs import Generator, Job, Outcome
from bench.rig.models import constant
from bench.rig.questions import Question
from bench.rig.report import Check, Finding
from bench.rig.template import ms

_CPUS = 0.2
_VECTORS_A_CALL = 64
_SECONDS = 5.0
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

    def checks(self) -> list[Check]:
        what = f"{self.kind} within {ms(self.slo_s)} ms, {self.times:g} capacities"
        checks = []
        if self.times in _LEAST_GOODPUT:
            checks.append(Check(f"{what}: predicted in time", self.goodput, least=_LEAST_GOODPUT[self.times]))
        if self.times in _MOST_LATE:
            checks.append(Check(f"{what}: late answers", self.outcome.late_share, most=_MOST_LATE[self.times]))
        return checks


@dataclass(frozen=True, slots=True)
class Overload(Finding):
    """What was found."""

    samples: Sequence[Sample]

    def checks(self) -> list[Check]:
        return [check for sample in self.samples for check in sample.checks()]


def measure(bench: Bench) -> Overload:
    """All loads, with a part of a processor for the query service.

    Raises:
        BenchmarkError: a process did not start, an answer is wrong or missing, or limits cannot be set.
    """
    model, cluster = constant("overloaded"), bench.cluster
    with ExitStack() as stack:
        stack.enter_context(cluster.serving(model))
        files = {}
        for slo_s in (_FAR_S, *_OBJECTIVES_S):
            name = f"within-{slo_s * 1e3:.0f}-ms"
            stack.enter_context(cluster.application(name, [model], slo_s, use_cache=False))
            files[slo_s] = _question(bench, name)
        service = stack.enter_context(cluster.extra_query_service(bench.directory(), name))
        (pid,) = service.pids
        stack.enter_context(limited(pid, _CPUS, _PERIOD_MICROS))
        samples = []
        for kind, unary in (("Predict", True), ("PredictStream", False)):
            far = Job(service.address, files[_FAR_S], _VECTORS_A_CALL, _FAR_S, bench.seconds(_SECONDS), unary=unary)
            capacity = _capacity(bench.generator, far)
            for slo_s in _OBJECTIVES_S:
                job = replace(far, slo_s=slo_s, questions=files[slo_s])
                samples += [_sample(bench.generator, job, kind, times, capacity) for times in _TIMES]
    return Overload(samples)


def _sample(generator: Generator, job: Job, kind: str, times: float, capacity: float) -> Sample:
    at_rate = replace(job, calls_per_s=times * capacity / _VECTORS_A_CALL)
    generator.run(replace(at_rate, seconds=_WARM_UP_S))
    return Sample(kind, job.slo_s, times, capacity, generator.run(at_rate))


def _capacity(generator: Generator, job: Job) -> float:
    """The most predictions a second, far from any deadline."""
    at_most = replace(job, outstanding=_OUTSTANDING)
    generator.run(replace(at_most, seconds=_WARM_UP_S))
    return generator.run(at_most).good_per_s


def _question(bench: Bench, application: str) -> str:
    """The file of the call to an application."""
    message = payloads.vector_request(application, _VECTORS_A_CALL).SerializeToString()
    asked = Question(message, (payloads.OUTPUT,) * _VECTORS_A_CALL)
    return str(questions.write([asked], bench.directory()))
