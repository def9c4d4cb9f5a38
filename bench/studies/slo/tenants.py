"""Two applications on one model, of which one asks for ten times its share."""

from dataclasses import dataclass, replace

from bench.rig.bench import Bench
from bench.rig.jobs import Generator, Outcome, run_together
from bench.rig.report import Check, Finding
from bench.rig.samples import Sampler, best
from bench.studies.slo import models
from bench.studies.slo.serving import serving

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
class Tenants(Finding):
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
        return [Check("quiet tenant: queries predicted in time", self.quiet.good_share, least=_LEAST_IN_TIME)]

    @property
    def outcomes(self) -> dict[str, Outcome]:
        return {"quiet": self.quiet, "flooding": self.flooding}


def measure(bench: Bench) -> Tenants:
    """Finds the capacity, then lets both ask at the same time."""
    subject = models.waiting("shared", batch_s=_BATCH_S, input_s=_INPUT_S)
    with (
        Generator() as second,
        serving(bench, subject, _SLO_S, inputs=_FLOOD_INPUTS) as flooding,
        bench.cluster.application("quiet", [subject.model], _SLO_S, use_cache=False) as name,
    ):
        capacity = best(flooding.saturate(flooding.job)).outcome.good_per_s
        share, seconds = capacity / _SHARES, _LONGER * flooding.job.seconds
        quiet = Sampler(bench, name, subject.model, subject.calls(name, 1), _SLO_S)
        jobs = [
            (second, replace(quiet.job, calls_per_s=_QUIET * share, seconds=seconds)),
            (bench.generator, replace(flooding.job, calls_per_s=_FLOOD * share / _FLOOD_INPUTS, seconds=seconds)),
        ]
        quiet_one, flooding_one = bench.disturbances.avoid(lambda: run_together(jobs), tails=True)
    return Tenants(capacity, quiet_one, flooding_one, seconds)
