"""`python -m bench.selection`: measures, prints the report, and fails when a bound is missed."""

import argparse
import logging
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from bench import machine
from bench.errors import BenchmarkError
from bench.selection import agreement, bookkeeping, convergence, degradation, personalization, stragglers
from bench.selection.report import DrawnFinding, Report
from bench.selection.system import System, running_system

_BUILD = Path(__file__).parents[2] / "build"
_FIGURES = "figures"
_TOLD = ("date", "CPU", "memory", "system", "Python", "grpcio")
# What a quick look makes do with, where it is but to see that everything works.
_QUICK = 10

Parts = Mapping[str, Callable[[System, int], DrawnFinding]]
"""By name, from a system and a number by which the amount of work is divided."""


def main() -> int:
    """Runs the benchmark; returns the exit code."""
    arguments = _arguments()
    # Ends this process the way an exception does, and with it those that it has started.
    signal.signal(signal.SIGTERM, lambda _signal, _frame: sys.exit("The benchmark was terminated"))
    logging.disable(logging.INFO)
    try:
        report = run(arguments.only or list(_parts()), _QUICK if arguments.quick else 1)
    except BenchmarkError as error:
        print(f"The benchmark failed: {error}", file=sys.stderr)
        return 2
    _BUILD.mkdir(exist_ok=True)
    (_BUILD / "bench-selection.json").write_text(report.as_json())
    document = report.as_markdown()
    print(document)
    if arguments.write:
        arguments.write.write_text(document)
        report.draw(arguments.write.parent / _FIGURES)
    missed = report.missed()
    for miss in missed:
        print(f"Bound missed: {miss}", file=sys.stderr)
    return 1 if missed and not arguments.no_bounds else 0


def run(parts: list[str], divisor: int) -> Report:
    """Starts Clipper, measures the parts, and stops it.

    Args:
        parts: which.
        divisor: how much less work than usual they are to do.

    Raises:
        BenchmarkError: the figures would mean nothing.
    """
    started_s = time.monotonic()
    findings = []
    with running_system() as system:
        for name in parts:
            part_s = time.monotonic()
            findings.append(_parts()[name](system, divisor))
            print(f"measured: {name}, {time.monotonic() - part_s:.0f} s", file=sys.stderr, flush=True)
        system.check_nothing_died()
    described = {name: what for name, what in machine.describe().items() if name in _TOLD}
    return Report(described, (time.monotonic() - started_s) / 60, findings)


def _parts() -> Parts:
    return {
        "degradation": lambda system, divisor: degradation.measure(system, degradation.QUERIES // divisor),
        "convergence": lambda _system, divisor: convergence.measure(convergence.RUNS // divisor),
        "agreement": lambda system, divisor: agreement.measure(system, agreement.QUERIES // divisor),
        "stragglers": lambda system, divisor: stragglers.measure(system, stragglers.QUERIES // divisor),
        "bookkeeping": lambda _system, divisor: bookkeeping.measure(bookkeeping.FEEDBACKS // divisor),
        "users": lambda system, divisor: personalization.measure(system, personalization.USERS // divisor),
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.selection", description="Measures what selection brings.")
    parser.add_argument("--only", nargs="+", choices=list(_parts()), metavar="PART", help=", ".join(_parts()))
    parser.add_argument("--quick", action="store_true", help="a tenth of the work: to see that it works")
    parser.add_argument("--no-bounds", action="store_true", help="do not fail when a bound is missed")
    parser.add_argument("--write", type=Path, metavar="FILE", help="also write the report, and its figures beside it")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
