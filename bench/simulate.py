"""`python -m bench.simulate`: how the batching policies compare, in virtual time; equal seeds give equal figures."""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from bench.tables import table
from simulation.report import Report
from simulation.scenarios import POLICIES, SCENARIOS, Scenario

_HEAD = ("policy", "goodput, /s", "within the SLO", "inputs in a batch", "p50, ms", "p99, ms", "defaults")


def main() -> int:
    """Runs every scenario under every policy; returns the exit code."""
    arguments = _arguments()
    began_s = time.monotonic()
    chosen = [number for number, each in enumerate(SCENARIOS) if arguments.only.lower() in each.title.lower()]
    reports = run(chosen, arguments.seed)
    sections = [_section(SCENARIOS[number], reports[number]) for number in chosen]
    document = _DOCUMENT.format(seed=arguments.seed, scenarios="\n".join(sections))
    print(document)
    if arguments.write:
        arguments.write.write_text(document)
    asked = sum(report.total.asked for scenario in reports.values() for report in scenario)
    print(f"{asked:,} queries in {time.monotonic() - began_s:.0f} s on {_processes()} processes", file=sys.stderr)
    return 0


def run(chosen: Sequence[int], seed: int) -> dict[int, list[Report]]:
    """The reports of the chosen scenarios by their number, one a policy."""
    with ProcessPoolExecutor(_processes()) as processes:
        started = {
            number: [processes.submit(_simulate, number, policy, seed) for policy in POLICIES] for number in chosen
        }
        return {number: [each.result() for each in futures] for number, futures in started.items()}


def _simulate(number: int, policy: str, seed: int) -> Report:
    return SCENARIOS[number].run(policy, seed)


def _processes() -> int:
    return len(os.sched_getaffinity(0))


def _section(scenario: Scenario, reports: Sequence[Report]) -> str:
    rows = [_row(policy, report) for policy, report in zip(POLICIES, reports, strict=True)]
    speed = scenario.service_time
    return _SECTION.format(
        scenario=scenario,
        fixed_ms=speed.fixed_s * 1e3,
        per_input_ms=speed.per_input_s * 1e3,
        slo_ms=scenario.slo_s * 1e3,
        fixed_size=scenario.fixed_size(),
        asked=reports[0].total.asked,
        table=table(_HEAD, rows),
    )


def _row(policy: str, report: Report) -> tuple[str, ...]:
    total = report.total
    defaults = ", ".join(f"{count:,} {reason.name.lower()}" for reason, count in total.defaults.most_common())
    return (
        policy,
        f"{total.goodput:,.0f}",
        f"{total.attainment:.2%}",
        f"{report.mean_batch:.1f}",
        f"{total.latency_s(0.5) * 1e3:.1f}",
        f"{total.latency_s(0.99) * 1e3:.1f}",
        defaults,
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.simulate", description="Compares the batching policies.")
    parser.add_argument("--seed", type=int, default=1, help="decides all chance (default: 1)")
    parser.add_argument("--only", default="", metavar="WORDS", help="only scenarios whose title has these words")
    parser.add_argument("--write", type=Path, metavar="FILE", help="also write the report to a file")
    return parser.parse_args()


_SECTION = """## {scenario.title}

Models: {scenario.models}; replicas of each: {scenario.replicas}; objective: {slo_ms:g} ms; a batch of n takes
{fixed_ms:g} ms + n · {per_input_ms:g} ms; {asked:,} queries in {scenario.seconds:g} s; fixed batches: {fixed_size}.

{table}
"""

_DOCUMENT = """# The batching policies in simulation

Written by `python -m bench.simulate --write docs/simulation.md`; do not edit. The query service's real engine serves
simulated clients and replicas in virtual time (package `simulation`), so the figures are the same on every machine.
Each policy meets the same queries at the same times; the seed is {seed}. A first half second, in which much is learnt,
does not count.

Goodput is predictions by their deadline, for each second in which queries came; the others got the default output, by
reason. Latency is that of all answers, defaults included. Fixed batches have the size that a careful person would
choose: one takes a third of the latency objective, so that a query which finds one computing and one waiting is served.

{scenarios}"""


if __name__ == "__main__":
    sys.exit(main())
