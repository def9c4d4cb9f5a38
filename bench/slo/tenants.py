"""Two applications on one model, of which one asks for ten times its share."""

from dataclasses import dataclass, replace

from bench.slo import models
from bench.slo.finding import Check, ms, per_s
from bench.slo.load import Generator, Outcome, run_together
from bench.slo.measure import Bench, best
from bench.slo.questions import calls
from bench.slo.system import Tenant
from bench.tables import table

_BATCH_S = 0.005
_INPUT_S = 0.001
_SLO_S = 0.1
_SHARES = 2
# Of its share: what the quiet one asks for, and the flooding one.
_QUIET = 0.5
_FLOOD = 10.0
_FLOOD_INPUTS = 16
_LEAST_IN_TIME = 0.999
# So many times longer than others, so that the quiet one asks for enough to tell a thousandth.
_LONGER = 5


@dataclass(frozen=True, slots=True)
class Tenants:
    """What was found.

    Attributes:
        capacity: predictions a second in time that the model makes for one application.
        quiet, flooding: what came of each application's load.
        seconds: for how long they asked.
    """

    capacity: float
    quiet: Outcome
    flooding: Outcome
    seconds: float

    def checks(self) -> list[Check]:
        """The floors."""
        return [Check("quiet tenant: queries predicted in time", self.quiet.good_share, least=_LEAST_IN_TIME)]

    def section(self) -> str:
        """The text."""
        head = ("tenant", "asks/s", "predicted in time/s", "of what it asks", "p50, ms", "p99, ms", "longest, ms")
        rows = [
            (
                title,
                per_s(outcome.asked_per_s),
                per_s(outcome.good_per_s),
                f"**{outcome.good_share:.2%}**",
                ms(outcome.p50_s),
                ms(outcome.p99_s),
                ms(outcome.longest_s),
            )
            for title, outcome in (("quiet", self.quiet), ("flooding", self.flooding))
        ]
        return _SECTION.format(
            capacity=per_s(self.capacity), slo=ms(_SLO_S), seconds=self.seconds, rows=table(head, rows)
        )


def measure(bench: Bench) -> Tenants:
    """Finds the capacity, then lets both ask at the same time."""
    subject = models.waiting("shared", batch_s=_BATCH_S, input_s=_INPUT_S)
    with (
        Generator() as second,
        bench.system.serving(subject, _SLO_S) as flooding,
        bench.system.tenant(Tenant("quiet"), subject.name, _SLO_S) as quiet,
    ):
        flood = bench.job(flooding, calls(subject, flooding, _FLOOD_INPUTS), _SLO_S)
        capacity = best(bench.saturate(flooding, flood)).outcome.good_per_s
        share, seconds = capacity / _SHARES, _LONGER * bench.seconds
        jobs = [
            (
                second,
                replace(
                    bench.job(quiet, calls(subject, quiet, 1), _SLO_S), calls_per_s=_QUIET * share, seconds=seconds
                ),
            ),
            (bench.generator, replace(flood, calls_per_s=_FLOOD * share / _FLOOD_INPUTS, seconds=seconds)),
        ]
        quiet_one, flooding_one = bench.disturbances.avoid(lambda: run_together(jobs), tails=True)
    return Tenants(capacity, quiet_one, flooding_one, seconds)


_SECTION = """## Two tenants

Two applications of equal shares on one replica of a model that makes {capacity} predictions/s in time for one of them
alone, each with an objective of {slo} ms. One asks for half of its share, the other for ten times its own, both at
random times whatever comes back, for {seconds:g} s.

{rows}
"""
