"""`python -m bench.slo`: measures, prints the report, and fails when a bound is missed."""

import argparse
import logging
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from bench import machine
from bench.disturbances import Disturbances
from bench.errors import BenchmarkError
from bench.slo import batching, caching, delay, engine_cost, models, overload, scaling, tenants
from bench.slo.finding import Finding
from bench.slo.load import Generator
from bench.slo.measure import Bench
from bench.slo.report import Report
from bench.slo.system import running_system

_BUILD = Path(__file__).parents[2] / "build"
# Its computing, and neither messages nor the front, limits what it can take.
_OVERLOADED = "kernel-svm"

_TOLD = ("date", "CPU", "memory", "system", "Python", "grpcio")

Parts = Mapping[str, Callable[[Bench], Finding]]


def main() -> int:
    """Runs the benchmark; returns the exit code."""
    arguments = _arguments()
    # Ends this process the way an exception does, and with it those that it has started.
    signal.signal(signal.SIGTERM, lambda _signal, _frame: sys.exit("The benchmark was terminated"))
    logging.disable(logging.INFO)
    try:
        report = run(arguments.only or list(_parts()), arguments.slo_ms / 1e3, arguments.seconds)
    except BenchmarkError as error:
        print(f"The benchmark failed: {error}", file=sys.stderr)
        return 2
    _BUILD.mkdir(exist_ok=True)
    (_BUILD / "bench-slo.json").write_text(report.as_json())
    document = report.as_markdown()
    print(document)
    if arguments.write:
        arguments.write.write_text(document)
    missed = report.missed()
    for miss in missed:
        print(f"Bound missed: {miss}", file=sys.stderr)
    return 1 if missed and not arguments.no_bounds else 0


def run(parts: list[str], slo_s: float, seconds: float) -> Report:
    """Starts Clipper, measures the parts, and stops it.

    Args:
        parts: which.
        slo_s: the latency objective of the classifiers.
        seconds: how long each measurement takes.

    Raises:
        BenchmarkError: the figures would mean nothing.
    """
    findings = []
    disturbances = Disturbances()
    with (
        tempfile.TemporaryDirectory(prefix="bench-slo-") as scratch,
        running_system(Path(scratch)) as system,
        Generator() as generator,
    ):
        bench = Bench(system, generator, slo_s, seconds, disturbances)
        for name in parts:
            print(f"measuring: {name}", file=sys.stderr, flush=True)
            findings.append(_parts()[name](bench))
        system.check_nothing_died()
    described = {name: what for name, what in machine.describe().items() if name in _TOLD}
    return Report(described | {"disturbances": str(disturbances)}, seconds, findings)


def _parts() -> Parts:
    return {
        "models": lambda bench: batching.measure(bench, models.classifiers()),
        "overload": _overload,
        "delay": delay.measure,
        "replicas": scaling.measure,
        "tenants": tenants.measure,
        "cache": caching.measure,
        "engine": lambda _bench: engine_cost.measure(),
    }


def _overload(bench: Bench) -> Finding:
    waiting = models.waiting("accelerated", batch_s=0.002, input_s=0.0005)
    computing = next(subject for subject in models.classifiers() if subject.name == _OVERLOADED)
    return overload.measure(bench, waiting, computing)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.slo", description="Measures what an objective brings.")
    parser.add_argument("--seconds", type=float, default=2.0, help="how long each measurement takes (default: 2)")
    parser.add_argument("--slo-ms", type=float, default=20.0, help="the classifiers' latency objective (default: 20)")
    parser.add_argument("--only", nargs="+", choices=list(_parts()), metavar="PART", help=", ".join(_parts()))
    parser.add_argument("--no-bounds", action="store_true", help="do not fail when a bound is missed")
    parser.add_argument("--write", type=Path, metavar="FILE", help="also write the report to a file")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
