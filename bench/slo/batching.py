"""Real models under each policy and without batching: the paper's figures 3 and 4."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bench.slo.finding import Check, ms, per_s
from bench.slo.measure import GENERATOR, Bench, Sample, best
from bench.slo.models import Subject
from bench.slo.questions import calls
from bench.slo.system import ADAPTIVE, CONTAINER, QUERY, Batching
from bench.tables import table

POLICIES = (
    ADAPTIVE,
    Batching("aimd", "aimd"),
    Batching("quantile", "quantile"),
    Batching("no batching", "fixed", batch_size=1),
)
_NONE = POLICIES[-1]
_SHOWN = "linear-svm"
_LEAST_GAIN = 12.0
_PAPER_GAIN = 26
_MOST_P99 = 1.15
# A call has what the model does in this part of the objective, at most so many inputs.
_PART = 0.1
_MOST_INPUTS = 64
# What a batch of one costs besides the model, about.
_MESSAGE_S = 0.0005
_TIMED_S = 0.1


class Paper(NamedTuple):
    """What the paper reports of a model: predictions/s by policy, and AIMD's mean batch and p99."""

    aimd: int
    quantile: int
    none: int
    batch: int
    p99_ms: float


_PAPER = {
    "no-op": Paper(48_386, 46_085, 8_964, 1_305, 20.4),
    "logistic-regression": Paper(47_220, 43_954, 1_921, 1_225, 20.5),
    "linear-svm": Paper(48_934, 47_879, 1_921, 1_319, 20.2),
    "random-forest": Paper(22_859, 19_904, 317, 491, 20.8),
    "kernel-svm": Paper(198, 189, 204, 4, 28.8),
}


@dataclass(frozen=True, slots=True)
class Row:
    """A model under one policy.

    Attributes:
        subject, batching: which.
        samples: by rising load.
        best: that with the most predictions in time of those that keep the objective.
        model_micros: what the model alone costs at the best load's mean batch, in microseconds for each input.
    """

    subject: Subject
    batching: Batching
    samples: Sequence[Sample]
    best: Sample
    model_micros: float


@dataclass(frozen=True, slots=True)
class RealModels:
    """What was found."""

    slo_s: float
    rows: Sequence[Row]

    def checks(self) -> list[Check]:
        """The floors."""
        slowest = max(self.rows, key=lambda row: row.best.outcome.p99_s)
        p99 = slowest.best.outcome.p99_s / self.slo_s
        checks = [
            Check(f"p99 of {slowest.subject.title}, {slowest.batching.title}, in objectives", p99, most=_MOST_P99)
        ]
        if any(row.subject.name == _SHOWN for row in self.rows):
            checks.append(Check("linear SVM, adaptive against no batching", self._gain(_SHOWN), least=_LEAST_GAIN))
        return checks

    def section(self) -> str:
        """The text."""
        head = (
            "model",
            "policy",
            "predictions/s",
            "inputs in a batch",
            "p50, ms",
            "p99, ms",
            "calls × inputs",
            "beyond",
        )
        rows = [_line(row) for row in self.rows]
        return _SECTION.format(
            slo=ms(self.slo_s),
            most_inputs=_MOST_INPUTS,
            most_p99=_MOST_P99,
            rows=table(head, rows),
            paper=self._paper(),
            costs=self._costs(),
            paper_gain=_PAPER_GAIN,
        )

    def _paper(self) -> str:
        rows = []
        for subject in dict.fromkeys(row.subject.name for row in self.rows):
            paper = _PAPER[subject]
            title = self._row(subject, _NONE).subject.title
            rows.append(
                (
                    title,
                    *(f"{rate:,}" for rate in (paper.aimd, paper.quantile, paper.none)),
                    f"{max(paper.aimd, paper.quantile) / paper.none:.1f}",
                    f"{paper.batch:,}",
                    f"{paper.p99_ms}",
                    f"**{self._gain(subject):.1f}**",
                )
            )
        head = ("model", "AIMD", "quantile", "none", "gain", "AIMD's batch", "AIMD's p99, ms", "our gain, adaptive")
        return table(head, rows)

    def _costs(self) -> str:
        rows = []
        for row in self.rows:
            spent = row.best.cpu_micros
            rest = spent[CONTAINER] - row.model_micros
            rows.append(
                (
                    row.subject.title,
                    row.batching.title,
                    f"{1e6 / row.best.outcome.good_per_s:.1f}",
                    f"{spent[QUERY]:.1f}",
                    f"{row.model_micros:.1f}",
                    f"{rest:.1f}",
                    f"{spent[GENERATOR]:.1f}",
                )
            )
        head = ("model", "policy", "time", "query service", "the model", "rest of its container", "generator")
        return table(head, rows)

    def _gain(self, subject: str) -> float:
        ours, none = (self._row(subject, batching).best.outcome.good_per_s for batching in (ADAPTIVE, _NONE))
        return ours / none

    def _row(self, subject: str, batching: Batching) -> Row:
        return next(row for row in self.rows if row.subject.name == subject and row.batching is batching)


def measure(bench: Bench, subjects: Sequence[Subject]) -> RealModels:
    """Serves each model with each policy, one after the other."""
    return RealModels(bench.slo_s, [_row(bench, subject, batching) for subject in subjects for batching in POLICIES])


def inputs_a_call(subject: Subject, batching: Batching, slo_s: float) -> int:
    """So many that a call takes the model a small part of the objective."""
    size = 1 if batching is _NONE else _MOST_INPUTS
    input_s = model_s(subject, size) / size + (_MESSAGE_S if batching is _NONE else 0.0)
    return max(1, min(_MOST_INPUTS, int(_PART * slo_s / input_s)))


def model_s(subject: Subject, size: int) -> float:
    """How long the model computes a batch of `size` at the least, in processor time of this process."""
    repeats = -(-size // len(subject.questions))
    inputs = subject.questions.repeat(repeats, axis=0)[:size].copy()
    fastest_s, until_s = math.inf, time.process_time() + _TIMED_S
    # The clock was seen not to move during a call.
    least_s = time.get_clock_info("process_time").resolution
    while time.process_time() < until_s:
        start_s = time.process_time()
        subject.function(inputs)
        fastest_s = min(fastest_s, max(least_s, time.process_time() - start_s))
    return fastest_s


def _row(bench: Bench, subject: Subject, batching: Batching) -> Row:
    with bench.system.serving(subject, bench.slo_s, batching) as application:
        inputs = inputs_a_call(subject, batching, bench.slo_s)
        job = bench.job(application, calls(subject, application, inputs), bench.slo_s)
        samples = bench.saturate(application, job)
    keeping = [sample for sample in samples if sample.outcome.p99_s <= _MOST_P99 * bench.slo_s]
    shown = best(keeping) if keeping else min(samples, key=lambda sample: sample.outcome.p99_s)
    size = max(1, round(shown.mean_batch))
    return Row(subject, batching, samples, shown, model_s(subject, size) / size * 1e6)


def _line(row: Row) -> tuple[str, ...]:
    sample, last = row.best, row.samples[-1]
    return (
        row.subject.title,
        row.batching.title,
        f"**{per_s(sample.outcome.good_per_s)}**",
        f"{sample.mean_batch:,.1f}",
        ms(sample.outcome.p50_s),
        ms(sample.outcome.p99_s),
        f"{sample.outstanding} × {sample.inputs_a_call}",
        f"{per_s(last.outcome.good_per_s)}, p99 {ms(last.outcome.p99_s)} ms",
    )


_SECTION = """## Real models

An objective of {slo} ms, one replica, no cache. The models are scikit-learn's, in an environment of their own,
trained on one half of its digits scaled up to 28 x 28 pixels; an input is 784 doubles, 6,272 bytes. Native calls of
up to {most_inputs} inputs are kept outstanding, twice as many from one load to the next until the predictions in
time become no more. Shown is, of the loads that keep the objective (99 % of the calls are answered within
{most_p99} times as long, by the client's clock), the lowest that brings 95 % of the most; where none does, the one
that comes nearest. "Beyond" is the highest load, where generator, service and container want more than the machine
has. Latencies are those of whole calls at the client. A prediction counts when the model made it and its call was
answered within the objective and 5 ms.

{rows}

The paper's figures (Crankshaw et al., NSDI 2017, figures 3 and 4, on servers of 20 cores each) beside our gain over no
batching. Its linear SVM gained 25.5, "up to {paper_gain} times".

{paper}

Where the time goes: microseconds of processor time for each query, at the loads shown. "Time" is a second divided by
the predictions in it. The model is scikit-learn with numpy, timed apart at the mean batch.

{costs}
"""
