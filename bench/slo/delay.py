"""Batches that are held back, on a model that costs as much for one input as for many: the paper's figure 5."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.slo import models
from bench.slo.finding import Check, ms, per_s
from bench.slo.measure import Bench, Sample
from bench.slo.questions import calls
from bench.slo.system import QUERY, Batching
from bench.tables import table

_DELAYS_MS = (0, 1, 2, 3)
_SHOWN_MS = 2
_BATCH_S = 0.0002
_SLO_S = 0.1
_CALLS_PER_S = 1500.0
_REPLICAS = 4
_LEAST_GAIN = 2.0
_PAPER = {0: (5_510, 5.7), 1: (16_452, 18), 2: (18_454, 37), 3: (18_286, 55)}


@dataclass(frozen=True, slots=True)
class Delay:
    """What was found: a sample for each delay, in milliseconds."""

    samples: Sequence[tuple[int, Sample]]

    def checks(self) -> list[Check]:
        """The floors."""
        batches = {delay_ms: sample.mean_batch for delay_ms, sample in self.samples}
        gain = batches[_SHOWN_MS] / batches[0]
        return [Check(f"a wait of {_SHOWN_MS} ms: predictions for each second of a replica", gain, least=_LEAST_GAIN)]

    def section(self) -> str:
        """The text."""
        head = (
            "wait, ms",
            "inputs in a batch",
            "predictions for each second of a replica",
            "p50, ms",
            "p99, ms",
            "query service, µs a query",
            "the paper's predictions/s",
            "its batch",
        )
        rows = [
            (
                str(delay_ms),
                f"{sample.mean_batch:.1f}",
                f"**{per_s(sample.mean_batch / _BATCH_S)}**",
                ms(sample.outcome.p50_s),
                ms(sample.outcome.p99_s),
                f"{sample.cpu_micros[QUERY]:.0f}",
                f"{_PAPER[delay_ms][0]:,}",
                f"{_PAPER[delay_ms][1]}",
            )
            for delay_ms, sample in self.samples
        ]
        return _SECTION.format(rate=per_s(_CALLS_PER_S), replicas=_REPLICAS, batch=ms(_BATCH_S), rows=table(head, rows))


def measure(bench: Bench) -> Delay:
    """One rate, several delays."""
    subject = models.waiting("fixed-cost", batch_s=_BATCH_S, input_s=0.0)
    samples = []
    for delay_ms in _DELAYS_MS:
        batching = Batching("adaptive", "adaptive", delay_micros=delay_ms * 1000)
        with bench.system.serving(subject, _SLO_S, batching, replicas=_REPLICAS) as application:
            job = bench.job(application, calls(subject, application, 1), _SLO_S)
            samples.append((delay_ms, bench.sample(application, replace(job, calls_per_s=_CALLS_PER_S))))
    return Delay(samples)


_SECTION = """## Batch delay

A model that takes {batch} ms for a batch of any size, with {replicas} replicas, asked for {rate} predictions a second,
one a call, at random times. A replica that is free takes what there is, so a wait brings no prediction that would not
have been made without it, as long as the replicas keep up; it brings larger batches, so that they are busy for a
smaller part of the time. In the paper (figure 5) the same showed as throughput. The gain is over what comes together
without a wait.

{rows}
"""
