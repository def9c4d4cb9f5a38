"""How the batching policies compare, in virtual time; equal seeds give equal figures on every machine."""

import multiprocessing
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from statistics import fmean, stdev

from bench.rig.bench import Bench
from bench.rig.report import Finding
from simulation.report import Report
from simulation.scenarios import HALF_OBJECTIVE, POLICIES, REAL_LIFE, SCENARIOS, Scenario

_SEED = 1
# Where life is hard much is chance: which batches meet stragglers.
_SEEDS = range(1, 9)
_OTHERS = ("fixed", "aimd", "quantile", HALF_OBJECTIVE)
# A quick look takes the first ones.
_FEWEST = 2


@dataclass(frozen=True, slots=True)
class Row:
    """A scenario under one policy.

    Attributes:
        asked: queries.
        goodput: predictions by their deadline a second.
        attainment: their part of the queries.
        mean_batch: inputs in a batch.
        p50_ms, p99_ms: of the latency.
        defaults: default outputs by reason, the most frequent first.
    """

    asked: int
    goodput: float
    attainment: float
    mean_batch: float
    p50_ms: float
    p99_ms: float
    defaults: Mapping[str, int]

    @property
    def reasons(self) -> str:
        """The default outputs in words."""
        return ", ".join(f"{count:,} {reason}" for reason, count in self.defaults.items())


@dataclass(frozen=True, slots=True)
class Lead:
    """How much larger a share of the queries `adaptive` answers in time than another policy, over the seeds.

    Attributes:
        mean: in points.
        error: the standard error of that.
    """

    mean: float
    error: float


@dataclass(frozen=True, slots=True)
class Life:
    """A scenario of real life, over the seeds.

    Attributes:
        title: of the scenario.
        of_best: the predictions of `adaptive` as a part of what could have been answered in time.
        attainment: their part of the queries.
        leads: by other policy.
    """

    title: str
    of_best: float
    attainment: float
    leads: Mapping[str, Lead]


@dataclass(frozen=True, slots=True)
class Simulation(Finding):
    """What was found.

    Attributes:
        found: of each of the first scenarios, a row by policy.
        lives: of the first scenarios of real life.
    """

    found: Sequence[Mapping[str, Row]]
    lives: Sequence[Life]

    @property
    def parts(self) -> list[tuple[Scenario, Mapping[str, Row], int]]:
        """The scenarios with their rows, and the size of their fixed batches."""
        return [(scenario, rows, scenario.fixed_size()) for scenario, rows in zip(SCENARIOS, self.found, strict=False)]


def measure(bench: Bench) -> Simulation:
    """Runs every scenario under every policy."""
    count, lives = bench.amount(len(SCENARIOS), _FEWEST), bench.amount(len(REAL_LIFE), _FEWEST)
    # Not by forking, which threads of gRPC do not survive.
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=spawning) as processes:
        started = [
            {policy: processes.submit(_simulate, number, policy) for policy in POLICIES} for number in range(count)
        ]
        living = [[processes.submit(_live, number, seed) for seed in _SEEDS] for number in range(lives)]
        return Simulation(
            [{policy: each.result() for policy, each in futures.items()} for futures in started],
            [_life(scenario, futures) for scenario, futures in zip(REAL_LIFE, living, strict=False)],
        )


def _simulate(number: int, policy: str) -> Row:
    report = SCENARIOS[number].run(policy, _SEED)
    total = report.total
    defaults = {reason.name.lower(): count for reason, count in total.defaults.most_common()}
    p50_ms, p99_ms = (total.latency_s(share) * 1e3 for share in (0.5, 0.99))
    return Row(total.asked, total.goodput, total.attainment, report.mean_batch, p50_ms, p99_ms, defaults)


def _live(number: int, seed: int) -> tuple[float, Mapping[str, float]]:
    """How much of the best `adaptive` reaches with a seed, and how large a share of the queries each policy answers."""
    scenario = REAL_LIFE[number]
    reports = {policy: scenario.run(policy, seed) for policy in ("adaptive", *_OTHERS)}
    adaptive = reports["adaptive"]
    attainments = {policy: _attainment(scenario, report) for policy, report in reports.items()}
    return adaptive.total.predicted / scenario.best(adaptive), attainments


def _attainment(scenario: Scenario, report: Report) -> float:
    # Who is more important counts alone: the rule knows no classes.
    score = report.of("main-m0") if scenario.priority == "high" else report.total
    return score.attainment


def _life(scenario: Scenario, futures: Sequence[Future[tuple[float, Mapping[str, float]]]]) -> Life:
    of_best, attainments = zip(*(future.result() for future in futures), strict=True)
    adaptive = [each["adaptive"] for each in attainments]
    return Life(
        scenario.title,
        fmean(of_best),
        fmean(adaptive),
        {
            policy: _lead([100 * (ours - each[policy]) for ours, each in zip(adaptive, attainments, strict=True)])
            for policy in _OTHERS
        },
    )


def _lead(points: Sequence[float]) -> Lead:
    return Lead(fmean(points), stdev(points) / len(points) ** 0.5)
