"""`python -m bench.soak MINUTES`: keeps a cluster at 70 % of what it can take, prints what that did, and judges it.

Exit code: 0; 1 when the memory of a process surely grows; 2 when a call failed, an answer was wrong or a process died.
"""

import argparse
import logging
import signal
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from bench import machine, marked
from bench.errors import BenchmarkError
from bench.slo import questions
from bench.slo.load import Generator, Job, Outcome
from bench.soak.cluster import SLO_S, SoakedCluster, running_cluster, subject
from bench.soak.companions import Teacher, Watcher
from bench.soak.report import Soak

_SHARE = 0.7
_PART_S = 10.0
_SEARCH_S = 4.0
_OUTSTANDING = (8, 32, 128)
_TOLD = ("date", "CPU", "system", "Python")
_FEWEST_MINUTES = 2.0


def main() -> int:
    """Runs the soak; returns the exit code."""
    arguments = _arguments()
    # Ends this process the way an exception does, and with it those that it has started.
    signal.signal(signal.SIGTERM, lambda _signal, _frame: sys.exit("The soak was terminated"))
    logging.disable(logging.INFO)
    try:
        soak = run(arguments.minutes)
    except BenchmarkError as error:
        print(f"The soak failed: {error}", file=sys.stderr)
        return 2
    document = soak.as_markdown()
    print(document)
    if arguments.write:
        marked.replace(arguments.write, "soak", document)
    for name in soak.growing():
        print(f"The memory of {name} grows", file=sys.stderr)
    return 1 if soak.growing() else 0


def run(minutes: float) -> Soak:
    """Starts a cluster, asks it for so many minutes, and stops it.

    Raises:
        BenchmarkError: the figures would mean nothing.
    """
    served = subject()
    with (
        tempfile.TemporaryDirectory(prefix="bench-soak-") as scratch,
        running_cluster(served) as cluster,
        Generator() as generator,
    ):
        file = Path(scratch) / "questions.bin"
        questions.write(questions.calls(served, served.name, 1), file)
        job = Job(cluster.address, str(file), 1, SLO_S, _SEARCH_S)
        capacity = _capacity(generator, job)
        return _soak(cluster, generator, replace(job, seconds=_PART_S), capacity, minutes)


def _capacity(generator: Generator, job: Job) -> float:
    outcomes = [generator.run(replace(job, outstanding=calls)) for calls in _OUTSTANDING]
    return max(outcome.good_per_s for outcome in outcomes)


def _soak(cluster: SoakedCluster, generator: Generator, job: Job, capacity: float, minutes: float) -> Soak:
    rate = _SHARE * capacity
    outcomes: list[Outcome] = []
    with Watcher(cluster) as watcher, Teacher(cluster) as teacher:
        for part in range(round(minutes * 60 / _PART_S)):
            outcomes.append(generator.run(replace(job, calls_per_s=rate)))
            _tell(part, outcomes[-1])
    cluster.check_nothing_died()
    described = machine.describe()
    told = ", ".join(described[name] for name in _TOLD)
    return Soak(told, capacity, rate, outcomes, teacher.ends, watcher.readings)


def _tell(part: int, outcome: Outcome) -> None:
    asked_s = (part + 1) * _PART_S
    print(
        f"{asked_s / 60:.1f} min: {outcome.asked:,} asked, {outcome.good_share:.2%} in time",
        file=sys.stderr,
        flush=True,
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__.partition("\n")[0])
    parser.add_argument("minutes", type=float, nargs="?", default=30.0, help="how long (default: 30)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="also write the table between the marks in a file")
    arguments = parser.parse_args()
    if arguments.minutes < _FEWEST_MINUTES:
        parser.error(f"memory shows nothing in less than {_FEWEST_MINUTES:g} minutes")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
