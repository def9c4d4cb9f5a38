"""Batches that are held back, on a model that costs as much for one input as for many: the paper's figure 5."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from bench.rig.bench import Bench
from bench.rig.cluster import Batching
from bench.rig.meter import SERVER
from bench.rig.report import Check, Finding, ms, per_s, table
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
class Delay(Finding):
    """What was found: a sample for each delay, in milliseconds."""

    samples: Mapping[int, Sample]

    def checks(self) -> list[Check]:
        """The floor."""
        gain = self.samples[_SHOWN_MS].mean_batch / self.samples[0].mean_batch
        return [Check(f"a wait of {_SHOWN_MS} ms: predictions for each second of a replica", gain, least=_LEAST_GAIN)]

    def words(self) -> Mapping[str, object]:
        """See `Finding`."""
        of = self.samples
        columns: dict[str, Callable[[int], str]] = {
            "wait, ms": str,
            "inputs in a batch": lambda delay: f"{of[delay].mean_batch:.1f}",
            "predictions for each second of a replica": lambda delay: f"**{per_s(of[delay].mean_batch / _BATCH_S)}**",
            "p50, ms": lambda delay: ms(of[delay].outcome.p50_s),
            "p99, ms": lambda delay: ms(of[delay].outcome.p99_s),
            "query service, µs a query": lambda delay: f"{of[delay].cpu_micros[SERVER]:.0f}",
            "the paper's predictions/s": lambda delay: f"{_PAPER[delay][0]:,}",
            "its batch": lambda delay: f"{_PAPER[delay][1]}",
        }
        return {"rate": per_s(_CALLS_PER_S), "replicas": _REPLICAS, "batch": ms(_BATCH_S), "rows": table(of, columns)}


def measure(bench: Bench) -> Delay:
    """One rate, several delays."""
    subject = models.waiting("fixed-cost", batch_s=_BATCH_S, input_s=0.0)
    samples = {}
    for delay_ms in _DELAYS_MS:
        batching = Batching("adaptive", "adaptive", delay_micros=delay_ms * 1000)
        with serving(bench, subject, _SLO_S, batching=batching, replicas=_REPLICAS) as sampler:
            samples[delay_ms] = sampler.sample(replace(sampler.job, calls_per_s=_CALLS_PER_S))
    return Delay(samples)
