"""How the batching policies compare, in virtual time; equal seeds give equal figures on every machine."""

import multiprocessing
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from bench.rig.bench import Bench
from bench.rig.report import Finding
from simulation.scenarios import POLICIES, SCENARIOS, Scenario

_SEED = 1
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
class Simulation(Finding):
    """What was found: of each of the first scenarios, a row by policy."""

    found: Sequence[Mapping[str, Row]]

    @property
    def parts(self) -> list[tuple[Scenario, Mapping[str, Row], int]]:
        """The scenarios with their rows, and the size of their fixed batches."""
        return [(scenario, rows, scenario.fixed_size()) for scenario, rows in zip(SCENARIOS, self.found, strict=False)]


def measure(bench: Bench) -> Simulation:
    """Runs every scenario under every policy."""
    count = bench.amount(len(SCENARIOS), _FEWEST)
    # Not by forking, which threads of gRPC do not survive.
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=spawning) as processes:
        started = [
            {policy: processes.submit(_simulate, number, policy) for policy in POLICIES} for number in range(count)
        ]
        return Simulation([{policy: each.result() for policy, each in futures.items()} for futures in started])


def _simulate(number: int, policy: str) -> Row:
    report = SCENARIOS[number].run(policy, _SEED)
    total = report.total
    defaults = {reason.name.lower(): count for reason, count in total.defaults.most_common()}
    p50_ms, p99_ms = (total.latency_s(share) * 1e3 for share in (0.5, 0.99))
    return Row(total.asked, total.goodput, total.attainment, report.mean_batch, p50_ms, p99_ms, defaults)
