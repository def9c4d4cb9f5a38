"""Twice the load that a model can take, at a rate that nothing slows down."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.slo.batching import inputs_a_call
from bench.slo.finding import Check, ms, per_s
from bench.slo.load import LATE_S
from bench.slo.measure import Bench, Sample, best
from bench.slo.models import Subject
from bench.slo.questions import calls
from bench.slo.system import ADAPTIVE, Batching
from bench.tables import table

_TIMES = 2.0
_LEAST_GOODPUT = 0.95


@dataclass(frozen=True, slots=True)
class Overload:
    """What was found.

    Attributes:
        subject: the model.
        slo_s: the objective.
        capacity: the most predictions a second in time with `adaptive`, at any load.
        overloaded: each policy at twice as many queries a second.
    """

    subject: Subject
    slo_s: float
    capacity: float
    overloaded: Sequence[tuple[Batching, Sample]]

    def checks(self) -> list[Check]:
        """The floors."""
        (_, adaptive), *_ = self.overloaded
        goodput = adaptive.outcome.good_per_s / self.capacity
        return [
            Check("overload: goodput, in capacities", goodput, least=_LEAST_GOODPUT),
            Check("overload: calls answered later than the objective and 5 ms", adaptive.outcome.late_calls, most=0),
        ]

    def section(self) -> str:
        """The text."""
        head = ("policy", "goodput/s", "of the capacity", "p50, ms", "p99, ms", "longest, ms", "late calls", "defaults")
        rows = [
            (
                batching.title,
                per_s(sample.outcome.good_per_s),
                f"**{sample.outcome.good_per_s / self.capacity:.1%}**",
                ms(sample.outcome.p50_s),
                ms(sample.outcome.p99_s),
                ms(sample.outcome.longest_s),
                f"{sample.outcome.late_calls} of {sample.outcome.calls:,}",
                _reasons(sample),
            )
            for batching, sample in self.overloaded
        ]
        return _SECTION.format(
            model=self.subject.title,
            capacity=per_s(self.capacity),
            asked=per_s(_TIMES * self.capacity),
            slo=ms(self.slo_s),
            late=ms(LATE_S),
            rows=table(head, rows),
        )


def measure(bench: Bench, subject: Subject) -> Overload:
    """Finds the capacity, then asks for twice as much: with `adaptive`, and with fixed batches as large as its own."""
    inputs = inputs_a_call(subject, ADAPTIVE, bench.slo_s)
    with bench.system.serving(subject, bench.slo_s) as application:
        job = bench.job(application, calls(subject, application, inputs), bench.slo_s)
        top = best(bench.saturate(application, job))
        capacity = top.outcome.good_per_s
        twice = replace(job, calls_per_s=_TIMES * capacity / inputs)
        adaptive = bench.sample(application, twice)
    size = max(1, round(top.mean_batch))
    fixed = Batching(f"fixed batches of {size}", "fixed", size)
    with bench.system.serving(subject, bench.slo_s, fixed) as application:
        overloaded = bench.sample(application, twice)
    return Overload(subject, bench.slo_s, capacity, [(ADAPTIVE, adaptive), (fixed, overloaded)])


def _reasons(sample: Sample) -> str:
    prefix = "DEFAULT_REASON_"
    return ", ".join(
        f"{reason.removeprefix(prefix).lower()} {count / sample.outcome.asked:.0%}"
        for reason, count in sorted(sample.outcome.defaults.items())
    )


_SECTION = """## Overload

The {model}: {capacity} predictions/s in time at most. It is asked for {asked} a second, at a rate that nothing slows
down, with an objective of {slo} ms. A call is late when its answer reaches the client later than the objective and
{late} ms. No call failed.

{rows}
"""
