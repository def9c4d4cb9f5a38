"""Twice the load that a model can take, at a rate that nothing slows down."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bench.rig import counters
from bench.rig.bench import Bench
from bench.rig.cluster import ADAPTIVE, Batching
from bench.rig.jobs import LATE_S as _LATE_S
from bench.rig.jobs import Job, Outcome
from bench.rig.report import Check, Finding
from bench.rig.samples import Sample, Sampler, best
from bench.studies.slo.batching import inputs_a_call
from bench.studies.slo.models import Subject, classifiers, waiting
from bench.studies.slo.serving import CLASSIFIERS_SLO_S as _SLO_S
from bench.studies.slo.serving import serving

_TIMES = 2.0
_LEAST_GOODPUT = 0.95
# In a call to the model that waits.
_WAITING_INPUTS = 4
# Its computing, and neither messages nor the front, limits what it can take.
_COMPUTING = "kernel SVM"


@dataclass(frozen=True, slots=True)
class Case:
    """One model.

    Attributes:
        subject: the model.
        capacity: the most predictions a second in time with `adaptive`, at any load.
        overloaded: each policy, by its title, at twice as many queries a second; `adaptive` first.
        late: of the calls to `adaptive`, those that the query service answered later than the objective and _LATE_S.
    """

    subject: Subject
    capacity: float
    overloaded: Mapping[str, Sample]
    late: int

    @property
    def asked_per_s(self) -> float:
        """How many queries a second came."""
        return _TIMES * self.capacity

    @property
    def goodputs(self) -> dict[str, tuple[float, Outcome]]:
        """Predictions in time, in capacities, and what came of the load, by policy."""
        outcomes = {policy: sample.outcome for policy, sample in self.overloaded.items()}
        return {policy: (outcome.good_per_s / self.capacity, outcome) for policy, outcome in outcomes.items()}


@dataclass(frozen=True, slots=True)
class Overload(Finding):
    """What was found; the bounds are for the first case."""

    cases: Sequence[Case]

    def checks(self) -> list[Check]:
        case = self.cases[0]
        return [
            Check("overload: goodput, in capacities", case.goodputs[ADAPTIVE.title][0], least=_LEAST_GOODPUT),
            Check("overload: calls answered later than the objective and 5 ms", case.late, most=0),
        ]


def measure(bench: Bench) -> Overload:
    """Overloads a model that waits, as on an accelerator, and one that computes on the cores that all share."""
    accelerated = waiting("accelerated", batch_s=0.002, input_s=0.0005)
    computing = next(subject for subject in classifiers() if subject.title == _COMPUTING)
    inputs = inputs_a_call(computing, ADAPTIVE, _SLO_S)
    return Overload([_case(bench, accelerated, _WAITING_INPUTS), _case(bench, computing, inputs)])


def _case(bench: Bench, subject: Subject, inputs: int) -> Case:
    """Finds the capacity, then asks for twice as much: with `adaptive`, and with fixed batches as large as its own."""
    with serving(bench, subject, _SLO_S, inputs=inputs) as sampler:
        top = best(sampler.saturate(sampler.job))
        capacity = top.outcome.good_per_s
        calls_per_s = _TIMES * capacity / inputs
        twice = replace(sampler.job, calls_per_s=calls_per_s)
        adaptive, late = bench.disturbances.avoid(lambda: _overloaded(bench, subject, sampler, twice), tails=True)
    size = max(1, round(top.mean_batch))
    fixed = Batching(f"fixed batches of {size}", "fixed", size)
    with serving(bench, subject, _SLO_S, inputs=inputs, batching=fixed) as sampler:
        of_fixed = sampler.sample(replace(sampler.job, calls_per_s=calls_per_s))
    return Case(subject, capacity, {ADAPTIVE.title: adaptive, fixed.title: of_fixed}, late)


def _overloaded(bench: Bench, subject: Subject, sampler: Sampler, job: Job) -> tuple[Sample, int]:
    def answered_late() -> int:
        late_s = _SLO_S + _LATE_S
        return counters.answered_later(bench.cluster.query.metrics, subject.model.name, late_s)

    before = answered_late()
    sample = sampler.sample_once(job)
    return sample, answered_late() - before
