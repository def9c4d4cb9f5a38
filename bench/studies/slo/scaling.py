"""More replicas of a model that waits, as one on an accelerator does."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.rig.bench import Bench
from bench.rig.report import Check, Finding
from bench.rig.samples import Sample, best
from bench.studies.slo import models
from bench.studies.slo.serving import serving

_REPLICAS = (1, 2, 3, 4)
_BATCH_S = 0.005
_INPUT_S = 0.001
_SLO_S = 0.1
_INPUTS_A_CALL = 8
_LEAST_GAIN = 3.9
# So many times longer than others, as one replica answers but a hundred calls a second.
_LONGER = 3
# Of the most that one replica makes.
_PART = 0.8
# A p99 of no more calls than a run has moves by so much from one run to the next.
_MOST_P99 = 1.15


@dataclass(frozen=True, slots=True)
class Scale:
    """What was found with so many replicas.

    Attributes:
        replicas: how many.
        full: with as many calls outstanding for each as bring the most predictions in time.
        eased: asked, at random times, for a part of what one replica then made, times the number of replicas.
    """

    replicas: int
    full: Sample
    eased: Sample


@dataclass(frozen=True, slots=True)
class Scaling(Finding):
    """What was found, by the number of replicas."""

    scales: Sequence[Scale]

    def checks(self) -> list[Check]:
        """The floors.

        At full load batches are as large as deadlines allow, so that its p99 tells the objective and little else.
        """
        one, *_, most = self.scales
        gain = most.full.outcome.good_per_s / one.full.outcome.good_per_s
        p99 = most.eased.outcome.p99_s / one.eased.outcome.p99_s
        return [
            Check(f"{most.replicas} replicas against one", gain, least=_LEAST_GAIN),
            Check(f"p99 of {most.replicas} replicas, against one's", p99, most=_MOST_P99),
        ]

    @property
    def gains(self) -> list[tuple[float, Scale]]:
        """Each, and how many times the predictions of one replica it makes."""
        one = self.scales[0].full.outcome.good_per_s
        return [(scale.full.outcome.good_per_s / one, scale) for scale in self.scales]


def measure(bench: Bench) -> Scaling:
    """The most predictions in time of one replica, then as much load for each of more replicas, and a part of it."""
    subject = models.waiting("accelerated", batch_s=_BATCH_S, input_s=_INPUT_S)
    scales: list[Scale] = []
    for count in _REPLICAS:
        with serving(bench, subject, _SLO_S, inputs=_INPUTS_A_CALL, replicas=count) as sampler:
            # All at once they would be a crowd that never comes again, and the slowest calls of the run.
            job = replace(sampler.job, spread_s=_SLO_S, seconds=_LONGER * sampler.job.seconds)
            if not scales:
                for_one = best(sampler.saturate(job)).outstanding
            full = sampler.sample(replace(job, outstanding=count * for_one))
            one = scales[0].full if scales else full
            calls_per_s = _PART * count * one.outcome.good_per_s / _INPUTS_A_CALL
            scales.append(Scale(count, full, sampler.sample(replace(job, calls_per_s=calls_per_s))))
    return Scaling(scales)
