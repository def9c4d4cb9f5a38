"""Batches that are held back, on a model that costs as much for one input as for many: the paper's figure 5."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.rig.bench import Bench
from bench.rig.cluster import Batching
from bench.rig.meter import SERVER
from bench.rig.report import Check, Finding
from bench.rig.samples import Sample
from bench.studies.slo import models
from bench.studies.slo.serving import serving

_DELAYS_MS = (0, 1, 2, 3)
_SHOWN_MS = 2
_BATCH_S = 0.0002
_SLO_S = 0.1
_CALLS_PER_S = 1500.0
_REPLICAS = 4
_LEAST_GAIN = 2.0
_PAPER = {0: (5_510, 5.7), 1: (16_452, 18), 2: (18_454, 37), 3: (18_286, 55)}


@dataclass(frozen=True, slots=True)
class Row:
    """One delay.

    Attributes:
        delay_ms: which.
        sample: what it brought.
    """

    delay_ms: int
    sample: Sample

    @property
    def per_replica_s(self) -> float:
        """Predictions for each second of a replica."""
        return self.sample.mean_batch / _BATCH_S

    @property
    def query_micros(self) -> float:
        """Microseconds of the query service for each query."""
        return self.sample.cpu_micros[SERVER]

    @property
    def paper(self) -> tuple[int, float]:
        """The paper's predictions a second, and its mean batch."""
        return _PAPER[self.delay_ms]


@dataclass(frozen=True, slots=True)
class Delay(Finding):
    """What was found, by rising delay."""

    rows: Sequence[Row]

    def checks(self) -> list[Check]:
        batches = {row.delay_ms: row.sample.mean_batch for row in self.rows}
        gain = batches[_SHOWN_MS] / batches[0]
        return [Check(f"a wait of {_SHOWN_MS} ms: predictions for each second of a replica", gain, least=_LEAST_GAIN)]


def measure(bench: Bench) -> Delay:
    """One rate, several delays."""
    subject = models.waiting("fixed-cost", batch_s=_BATCH_S, input_s=0.0)
    rows = []
    for delay_ms in _DELAYS_MS:
        batching = Batching("adaptive", "adaptive", delay_micros=delay_ms * 1000)
        with serving(bench, subject, _SLO_S, batching=batching, replicas=_REPLICAS) as sampler:
            rows.append(Row(delay_ms, sampler.sample(replace(sampler.job, calls_per_s=_CALLS_PER_S))))
    return Delay(rows)
