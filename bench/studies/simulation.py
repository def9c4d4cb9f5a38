"""How the batching policies compare, in virtual time; equal seeds give equal figures on every machine."""

import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from bench.rig.bench import Bench
from bench.rig.report import Finding, table
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
        p50_s, p99_s: of the latency.
        defaults: default outputs by reason, the most frequent first.
    """

    asked: int
    goodput: float
    attainment: float
    mean_batch: float
    p50_s: float
    p99_s: float
    defaults: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Simulation(Finding):
    """What was found: of each of the first scenarios, a row by policy."""

    rows: Sequence[Mapping[str, Row]]

    def words(self) -> Mapping[str, object]:
        """See `Finding`."""
        return {"scenarios": "\n\n".join(map(_section, SCENARIOS, self.rows))}


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
    p50_s, p99_s = total.latency_s(0.5), total.latency_s(0.99)
    return Row(total.asked, total.goodput, total.attainment, report.mean_batch, p50_s, p99_s, defaults)


_COLUMNS: dict[str, Callable[[tuple[str, Row]], str]] = {
    "policy": lambda row: row[0],
    "goodput, /s": lambda row: f"{row[1].goodput:,.0f}",
    "within the SLO": lambda row: f"{row[1].attainment:.2%}",
    "inputs in a batch": lambda row: f"{row[1].mean_batch:.1f}",
    "p50, ms": lambda row: f"{row[1].p50_s * 1e3:.1f}",
    "p99, ms": lambda row: f"{row[1].p99_s * 1e3:.1f}",
    "defaults": lambda row: ", ".join(f"{count:,} {reason}" for reason, count in row[1].defaults.items()),
}


def _section(scenario: Scenario, rows: Mapping[str, Row]) -> str:
    speed, asked = scenario.service_time, next(iter(rows.values())).asked
    return (
        f"## {scenario.title}\n\n"
        f"Models: {scenario.models}; replicas of each: {scenario.replicas}; objective: {scenario.slo_s * 1e3:g} ms; "
        f"a batch of n takes\n{speed.fixed_s * 1e3:g} ms + n · {speed.per_input_s * 1e3:g} ms; {asked:,} queries in "
        f"{scenario.seconds:g} s; fixed batches: {scenario.fixed_size()}.\n\n"
        f"{table(rows.items(), _COLUMNS)}"
    )
