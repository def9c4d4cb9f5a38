"""More replicas of a model that waits, as one on an accelerator does."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.slo import models
from bench.slo.finding import Check, ms, per_s
from bench.slo.measure import Bench, Sample, best
from bench.slo.questions import calls
from bench.tables import table

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
class Scaling:
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

    def section(self) -> str:
        """The text."""
        one = self.scales[0].full
        head = (
            "replicas",
            "predictions/s",
            "against one",
            "inputs in a batch",
            "p50, ms",
            "p99, ms",
            "asked/s",
            "in time",
            "p50, ms",
            "p99, ms",
        )
        rows = [_row(scale, one) for scale in self.scales]
        return _SECTION.format(
            batch=ms(_BATCH_S),
            input=ms(_INPUT_S),
            slo=ms(_SLO_S),
            outstanding=one.outstanding,
            inputs=_INPUTS_A_CALL,
            part=_PART,
            longer=_LONGER,
            rows=table(head, rows),
        )


def measure(bench: Bench) -> Scaling:
    """The most predictions in time of one replica, then as much load for each of more replicas, and a part of it."""
    subject = models.waiting("accelerated", batch_s=_BATCH_S, input_s=_INPUT_S)
    scales: list[Scale] = []
    for count in _REPLICAS:
        with bench.system.serving(subject, _SLO_S, replicas=count) as application:
            job = bench.job(application, calls(subject, application, _INPUTS_A_CALL), _SLO_S)
            # All at once they would be a crowd that never comes again, and the slowest calls of the run.
            job = replace(job, spread_s=_SLO_S, seconds=_LONGER * bench.seconds)
            if not scales:
                for_one = best(bench.saturate(application, job)).outstanding
            full = bench.sample(application, replace(job, outstanding=count * for_one))
            one = scales[0].full if scales else full
            calls_per_s = _PART * count * one.outcome.good_per_s / _INPUTS_A_CALL
            scales.append(Scale(count, full, bench.sample(application, replace(job, calls_per_s=calls_per_s))))
    return Scaling(scales)


def _row(scale: Scale, one: Sample) -> tuple[str, ...]:
    full, eased = scale.full, scale.eased.outcome
    return (
        str(scale.replicas),
        per_s(full.outcome.good_per_s),
        f"**{full.outcome.good_per_s / one.outcome.good_per_s:.2f}**",
        f"{full.mean_batch:.1f}",
        ms(full.outcome.p50_s),
        ms(full.outcome.p99_s),
        per_s(eased.asked_per_s),
        f"{eased.good_share:.1%}",
        ms(eased.p50_s),
        f"**{ms(eased.p99_s)}**",
    )


_SECTION = """## Replicas

A model that waits {batch} ms for each batch and {input} ms for each input in it, as one on an accelerator does, with an
objective of {slo} ms. {outstanding} calls of {inputs} inputs are outstanding for each replica, with which one replica
made the most predictions in time; batches are then as large as deadlines allow. On the right each replica is asked for
{part:.0%} of what one made, in calls at random times. Each is measured {longer} times as long as other things are, as
one replica answers but a hundred calls a second. In the paper (figure 6) four replicas made 3.96 times the predictions
of one.

{rows}
"""
