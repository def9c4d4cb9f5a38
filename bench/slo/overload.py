"""Twice the load that a model can take, at a rate that nothing slows down."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from bench import counters
from bench.slo.batching import inputs_a_call
from bench.slo.finding import Check, ms, per_s
from bench.slo.load import LATE_S, Job
from bench.slo.measure import Bench, Sample, best
from bench.slo.models import Subject
from bench.slo.questions import calls
from bench.slo.system import ADAPTIVE, Batching
from bench.tables import table

_TIMES = 2.0
_LEAST_GOODPUT = 0.95
# In a call to the model that waits.
_WAITING_INPUTS = 4


@dataclass(frozen=True, slots=True)
class Case:
    """One model.

    Attributes:
        subject: the model.
        capacity: the most predictions a second in time with `adaptive`, at any load.
        overloaded: each policy at twice as many queries a second.
        late: of the calls to `adaptive`, those that the query service answered later than the objective and LATE_S.
    """

    subject: Subject
    capacity: float
    overloaded: Sequence[tuple[Batching, Sample]]
    late: int


@dataclass(frozen=True, slots=True)
class Overload:
    """What was found; the bounds are for the first case."""

    slo_s: float
    cases: Sequence[Case]

    def checks(self) -> list[Check]:
        """The floors."""
        case = self.cases[0]
        (_, adaptive), *_ = case.overloaded
        return [
            Check(
                "overload: goodput, in capacities", adaptive.outcome.good_per_s / case.capacity, least=_LEAST_GOODPUT
            ),
            Check("overload: calls answered later than the objective and 5 ms", case.late, most=0),
        ]

    def section(self) -> str:
        """The text."""
        texts = [
            _CASE.format(
                model=case.subject.title,
                capacity=per_s(case.capacity),
                asked=per_s(_TIMES * case.capacity),
                answered_late=case.late,
                rows=_rows(case),
            )
            for case in self.cases
        ]
        return _SECTION.format(slo=ms(self.slo_s), late=ms(LATE_S)) + "".join(texts)


def measure(bench: Bench, waiting: Subject, computing: Subject) -> Overload:
    """Overloads a model that waits, as on an accelerator, and one that computes on the cores that all share."""
    inputs = inputs_a_call(computing, ADAPTIVE, bench.slo_s)
    return Overload(bench.slo_s, [_case(bench, waiting, _WAITING_INPUTS), _case(bench, computing, inputs)])


def _case(bench: Bench, subject: Subject, inputs: int) -> Case:
    """Finds the capacity, then asks for twice as much: with `adaptive`, and with fixed batches as large as its own."""
    with bench.system.serving(subject, bench.slo_s) as application:
        job = bench.job(application, calls(subject, application, inputs), bench.slo_s)
        top = best(bench.saturate(application, job))
        capacity = top.outcome.good_per_s
        twice = replace(job, calls_per_s=_TIMES * capacity / inputs)
        adaptive, late = bench.disturbances.avoid(partial(_overloaded, bench, application, twice), tails=True)
    size = max(1, round(top.mean_batch))
    fixed = Batching(f"fixed batches of {size}", "fixed", size)
    with bench.system.serving(subject, bench.slo_s, fixed) as application:
        of_fixed = bench.sample(application, twice)
    return Case(subject, capacity, [(ADAPTIVE, adaptive), (fixed, of_fixed)], late)


def _overloaded(bench: Bench, application: str, job: Job) -> tuple[Sample, int]:
    late_before = _answered_late(bench, application)
    sample = bench.sample_once(application, job)
    return sample, _answered_late(bench, application) - late_before


def _answered_late(bench: Bench, application: str) -> int:
    return counters.answered_later(bench.system.metrics, application, bench.slo_s + LATE_S)


def _rows(case: Case) -> str:
    head = ("policy", "goodput/s", "of the capacity", "p50, ms", "p99, ms", "longest, ms", "late calls", "defaults")
    rows = [
        (
            batching.title,
            per_s(sample.outcome.good_per_s),
            f"**{sample.outcome.good_per_s / case.capacity:.1%}**",
            ms(sample.outcome.p50_s),
            ms(sample.outcome.p99_s),
            ms(sample.outcome.longest_s),
            f"{sample.outcome.late_calls} of {sample.outcome.calls:,}",
            _reasons(sample),
        )
        for batching, sample in case.overloaded
    ]
    return table(head, rows)


def _reasons(sample: Sample) -> str:
    prefix = "DEFAULT_REASON_"
    return ", ".join(
        f"{reason.removeprefix(prefix).lower()} {count / sample.outcome.asked:.0%}"
        for reason, count in sorted(sample.outcome.defaults.items())
    )


_SECTION = """## Overload

Models are asked for twice the predictions that they make in time at most, at a rate that nothing slows down, with an
objective of {slo} ms. A call is late when its answer reaches the client later than the objective and {late} ms; said
apart is how many the query service answered so late, by its own clock. The difference is what the machine's scheduler
does: a thread that wakes beside a busy process may wait for the processor as long as that. No call failed.
"""

_CASE = """
The {model}: {capacity} predictions/s in time at most, asked for {asked}. The query service answered {answered_late} of
`adaptive`'s calls late.

{rows}
"""
