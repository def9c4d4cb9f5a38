"""`python -m bench`: measures, prints the report, and fails when a floor is missed."""

import argparse
import shutil
import signal
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench import lanes, machine, memory
from bench.cluster import running_baseline, running_cluster
from bench.comparisons import Samples
from bench.disturbances import Disturbances
from bench.errors import BenchmarkError
from bench.measure import Lane, Sample, measure
from bench.report import Results

_BUILD = Path(__file__).parents[1] / "build"


def main() -> int:
    """Runs the benchmark; returns the exit code."""
    arguments = _arguments()
    # Ends this process the way an exception does, and with it those that it has started.
    signal.signal(signal.SIGTERM, lambda _signal, _frame: sys.exit("The benchmark was terminated"))
    try:
        results = run(arguments.rounds, arguments.seconds, arguments.predictions)
    except BenchmarkError as error:
        print(f"The benchmark failed: {error}", file=sys.stderr)
        return 2
    (_BUILD / "bench.json").write_text(results.as_json())
    document = results.as_markdown()
    print(document)
    if arguments.write:
        arguments.write.write_text(document)
    missed = results.missed_floors()
    for miss in missed:
        print(f"Floor missed: {miss}", file=sys.stderr)
    return 1 if missed and not arguments.no_floors else 0


def run(rounds: int, seconds: float, predictions: int) -> Results:
    """Starts everything, measures, and stops everything.

    Args:
        rounds: how often each lane is measured.
        seconds: how long each time.
        predictions: over how many the memory is watched.

    Raises:
        BenchmarkError: the figures would mean nothing.
    """
    directory = _BUILD / "bench"
    shutil.rmtree(directory, ignore_errors=True)
    scratch = directory / "load"
    scratch.mkdir(parents=True)
    disturbances = Disturbances()
    with ExitStack() as stack:
        cluster = stack.enter_context(running_cluster(directory / "cluster"))
        baseline = stack.enter_context(running_baseline(directory / "baseline", cluster))
        samples = _measure_all(lanes.make(cluster, baseline, scratch), rounds, seconds, disturbances)
        _tell(f"memory over {predictions:,} predictions")
        series = memory.measure(cluster.caching_query, predictions)
    return Results(machine.describe() | {"disturbances": str(disturbances)}, seconds, samples, series)


def _measure_all(by_name: dict[str, Lane], rounds: int, seconds: float, disturbances: Disturbances) -> Samples:
    samples: dict[str, list[Sample]] = {name: [] for name in by_name}
    for number in range(rounds):
        for name, lane in by_name.items():
            sample = disturbances.avoid(partial(measure, lane, seconds))
            samples[name].append(sample)
            _tell(f"round {number + 1}, {name}: {sample.predictions_per_s:,.0f}/s, {sample.p50_s * 1e3:.2f} ms")
    return samples


def _tell(progress: str) -> None:
    print(progress, file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measures Clipper against a bare server.")
    parser.add_argument("--rounds", type=int, default=5, help="how often each load is measured (default: 5)")
    parser.add_argument("--seconds", type=float, default=1.5, help="how long each time (default: 1.5)")
    parser.add_argument(
        "--predictions", type=int, default=1_000_000, help="over how many the memory is watched (default: a million)"
    )
    parser.add_argument("--no-floors", action="store_true", help="do not fail when a floor is missed")
    parser.add_argument("--write", type=Path, metavar="FILE", help="also write the report to a file")
    arguments = parser.parse_args()
    if arguments.predictions < memory.FEWEST_PREDICTIONS:
        parser.error(f"the memory shows nothing in fewer than {memory.FEWEST_PREDICTIONS:,} predictions")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
