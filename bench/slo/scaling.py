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
# A p99 of no more calls than a run has moves by so much from one run to the next.
_MOST_P99 = 1.15


@dataclass(frozen=True, slots=True)
class Scaling:
    """What was found, by the number of replicas."""

    samples: Sequence[tuple[int, Sample]]

    def checks(self) -> list[Check]:
        """The floors."""
        (_, one), *_, (count, all_of_them) = self.samples
        gain = all_of_them.outcome.good_per_s / one.outcome.good_per_s
        p99 = all_of_them.outcome.p99_s / one.outcome.p99_s
        return [
            Check(f"{count} replicas against one", gain, least=_LEAST_GAIN),
            Check(f"p99 of {count} replicas, against one's", p99, most=_MOST_P99),
        ]

    def section(self) -> str:
        """The text."""
        one = self.samples[0][1].outcome.good_per_s
        head = ("replicas", "predictions/s", "against one", "inputs in a batch", "p50, ms", "p99, ms")
        rows = [
            (
                str(count),
                per_s(sample.outcome.good_per_s),
                f"**{sample.outcome.good_per_s / one:.2f}**",
                f"{sample.mean_batch:.1f}",
                ms(sample.outcome.p50_s),
                ms(sample.outcome.p99_s),
            )
            for count, sample in self.samples
        ]
        return _SECTION.format(
            batch=ms(_BATCH_S),
            input=ms(_INPUT_S),
            slo=ms(_SLO_S),
            outstanding=self.samples[0][1].outstanding,
            inputs=_INPUTS_A_CALL,
            longer=_LONGER,
            rows=table(head, rows),
        )


def measure(bench: Bench) -> Scaling:
    """The most predictions in time of one replica, then as many calls outstanding for each of more replicas."""
    subject = models.waiting("accelerated", batch_s=_BATCH_S, input_s=_INPUT_S)
    samples: list[tuple[int, Sample]] = []
    for count in _REPLICAS:
        with bench.system.serving(subject, _SLO_S, replicas=count) as application:
            job = bench.job(application, calls(subject, application, _INPUTS_A_CALL), _SLO_S)
            # All at once they would be a crowd that never comes again, and the slowest calls of the run.
            job = replace(job, spread_s=_SLO_S)
            if not samples:
                for_one = best(bench.saturate(application, job)).outstanding
            job = replace(job, outstanding=count * for_one, seconds=_LONGER * bench.seconds)
            samples.append((count, bench.sample(application, job)))
    return Scaling(samples)


_SECTION = """## Replicas

A model that waits {batch} ms for each batch and {input} ms for each input in it, as one on an accelerator does, with an
objective of {slo} ms. {outstanding} calls of {inputs} inputs are outstanding for each replica, with which one replica
made the most predictions in time. Each number of replicas is measured {longer} times as long as other things are, as
one answers but a hundred calls a second. In the paper (figure 6) four replicas made 3.96 times the predictions of one.

{rows}
"""
