"""Real models under each policy and without batching: the paper's figures 3 and 4."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bench.rig.bench import Bench
from bench.rig.cluster import ADAPTIVE, UNBATCHED, Batching
from bench.rig.meter import CONTAINER, GENERATOR, SERVER
from bench.rig.report import Check, Finding
from bench.rig.samples import Sample, best
from bench.studies.slo.models import Subject, classifiers
from bench.studies.slo.serving import CLASSIFIERS_SLO_S as _SLO_S
from bench.studies.slo.serving import serving

POLICIES = (ADAPTIVE, Batching("aimd", "aimd"), Batching("quantile", "quantile"), UNBATCHED)
_SHOWN = "linear SVM"
_LEAST_GAIN = 12.0
_PAPER_GAIN = 26
_MOST_P99 = 1.15
# A call has what the model does in this part of the objective, at most so many inputs.
_PART = 0.1
_MOST_INPUTS = 64
# What a batch of one costs besides the model, about.
_MESSAGE_S = 0.0005
_TIMED_S = 0.1
# A quick look takes the first ones.
_MODELS = 5
_FEWEST_MODELS = 2


class Paper(NamedTuple):
    """What the paper reports of a model: predictions/s by policy, and AIMD's mean batch and p99."""

    aimd: int
    quantile: int
    none: int
    batch: int
    p99_ms: float

    @property
    def gain(self) -> float:
        """Of the better policy over no batching."""
        return max(self.aimd, self.quantile) / self.none


_PAPER = {
    "no-op": Paper(48_386, 46_085, 8_964, 1_305, 20.4),
    "logistic regression": Paper(47_220, 43_954, 1_921, 1_225, 20.5),
    "linear SVM": Paper(48_934, 47_879, 1_921, 1_319, 20.2),
    "random forest": Paper(22_859, 19_904, 317, 491, 20.8),
    "kernel SVM": Paper(198, 189, 204, 4, 28.8),
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

    @property
    def last(self) -> Sample:
        """At the highest load."""
        return self.samples[-1]

    @property
    def micros(self) -> tuple[float, float, float, float]:
        """For each query: in all, of the query service, of the container without the model, of the generator."""
        spent = self.best.cpu_micros
        rest = spent[CONTAINER] - self.model_micros
        return 1e6 / self.best.outcome.good_per_s, spent[SERVER], rest, spent[GENERATOR]


@dataclass(frozen=True, slots=True)
class RealModels(Finding):
    """What was found."""

    rows: Sequence[Row]

    def checks(self) -> list[Check]:
        slowest = max(self.rows, key=lambda row: row.best.outcome.p99_s)
        p99 = slowest.best.outcome.p99_s / _SLO_S
        checks = [
            Check(f"p99 of {slowest.subject.title}, {slowest.batching.title}, in objectives", p99, most=_MOST_P99)
        ]
        if any(row.subject.title == _SHOWN for row in self.rows):
            checks.append(Check(f"{_SHOWN}, adaptive against no batching", self._gain(_SHOWN), least=_LEAST_GAIN))
        return checks

    @property
    def beside_paper(self) -> list[tuple[str, Paper, float]]:
        """The paper's figures of each model, and our gain."""
        titles = dict.fromkeys(row.subject.title for row in self.rows)
        return [(title, _PAPER[title], self._gain(title)) for title in titles]

    def _gain(self, title: str) -> float:
        rates = {row.batching: row.best.outcome.good_per_s for row in self.rows if row.subject.title == title}
        return rates[ADAPTIVE] / rates[UNBATCHED]


def measure(bench: Bench) -> RealModels:
    """Serves each model with each policy, one after the other."""
    subjects = classifiers()[: bench.amount(_MODELS, _FEWEST_MODELS)]
    return RealModels([_row(bench, subject, batching) for subject in subjects for batching in POLICIES])


def inputs_a_call(subject: Subject, batching: Batching, slo_s: float) -> int:
    """So many that a call takes the model a small part of the objective."""
    size = 1 if batching is UNBATCHED else _MOST_INPUTS
    input_s = model_s(subject, size) / size + (_MESSAGE_S if batching is UNBATCHED else 0.0)
    return max(1, min(_MOST_INPUTS, int(_PART * slo_s / input_s)))


def model_s(subject: Subject, size: int) -> float:
    """How long the model computes a batch of `size` at the least, in processor time of this process."""
    repeats = -(-size // len(subject.images))
    inputs = subject.images.repeat(repeats, axis=0)[:size].copy()
    fastest_s, until_s = math.inf, time.process_time() + _TIMED_S
    # The clock was seen not to move during a call.
    least_s = time.get_clock_info("process_time").resolution
    while time.process_time() < until_s:
        start_s = time.process_time()
        subject.model.function(inputs)
        fastest_s = min(fastest_s, max(least_s, time.process_time() - start_s))
    return fastest_s


def _row(bench: Bench, subject: Subject, batching: Batching) -> Row:
    inputs = inputs_a_call(subject, batching, _SLO_S)
    with serving(bench, subject, _SLO_S, inputs=inputs, batching=batching) as sampler:
        samples = sampler.saturate(sampler.job)
    keeping = [sample for sample in samples if sample.outcome.p99_s <= _MOST_P99 * _SLO_S]
    shown = best(keeping) if keeping else min(samples, key=lambda sample: sample.outcome.p99_s)
    size = max(1, round(shown.mean_batch))
    return Row(subject, batching, samples, shown, model_s(subject, size) / size * 1e6)
