"""`python -m bench NAME...`: measures, prints the sections, and fails when a bound is missed."""

import argparse
import logging
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.rig import machine
from bench.rig.bench import Bench, Effort
from bench.rig.errors import BenchmarkError
from bench.rig.processes import REPOSITORY
from bench.rig.report import Section
from bench.studies.catalogue import NAMES, Study, comparison, named

_BUILD = REPOSITORY / "build" / "bench"
_COMPARE = "compare"
_DESCRIPTION = "Measures what Clipper costs and what it brings, and fails when a bound is missed."


def main(words: Sequence[str] | None = None) -> int:
    """Runs the studies that `words` name, or the command line; returns the exit code."""
    arguments = _arguments(words)
    # Ends this process the way an exception does, and with it those that it has started.
    signal.signal(signal.SIGTERM, lambda _signal, _frame: sys.exit("The benchmark was terminated"))
    logging.disable(logging.INFO)
    _BUILD.mkdir(parents=True, exist_ok=True)
    try:
        with Bench(Effort(arguments.seconds, arguments.rounds, arguments.quick), _BUILD) as bench:
            sections = [_section(bench, study, write=arguments.write) for study in arguments.studies]
    except BenchmarkError as error:
        print(f"The benchmark failed: {error}", file=sys.stderr)
        return 2
    if arguments.quick:
        return 0
    missed = [f"{section.name}: {check}" for section in sections for check in section.missed]
    for miss in missed:
        print(f"Bound missed: {miss}", file=sys.stderr)
    return 1 if missed and not arguments.no_bounds else 0


def _section(bench: Bench, study: Study, *, write: bool) -> Section:
    """Runs a study, prints what it found, and writes it to where it belongs."""
    print(f"measuring: {study.name}", file=sys.stderr, flush=True)
    began_s = time.monotonic()
    finding = study.measure(bench)
    minutes = (time.monotonic() - began_s) / 60
    bench.check_cluster()
    circumstances = f"{machine.describe()}; {minutes:.1f} minutes{bench.disturbances.taken()}"
    section = Section(study.name, study.template, finding, circumstances)
    (_BUILD / f"{study.name}.json").write_text(section.as_json())
    print(section)
    if write and study.page is not None:
        section.write_into(study.page)
    return section


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=_DESCRIPTION,
        usage="%(prog)s NAME... [options], or %(prog)s compare TREE_A TREE_B [options]",
        epilog=f"Names: {', '.join(NAMES)}; compare.",
    )
    parser.add_argument("names", nargs="+", metavar="NAME", help="a study, or a group of studies")
    parser.add_argument("--rounds", type=int, help="how often each lane is measured (default: the study's)")
    parser.add_argument("--seconds", type=float, help="how long each measurement takes (default: the study's)")
    parser.add_argument("--quick", action="store_true", help="the least there is: to see that it works; no bounds")
    parser.add_argument("--no-bounds", action="store_true", help="do not fail when a bound is missed")
    parser.add_argument("--write", action="store_true", help="also write the sections into their pages in docs/")
    arguments = parser.parse_args(words)
    if arguments.quick and arguments.write:
        parser.error("a quick look is not for the pages: --quick or --write")
    if arguments.names[0] == _COMPARE:
        trees = [Path(name).resolve() for name in arguments.names[1:]]
        if len(trees) != 2 or not all((tree / "clipper_admin").is_dir() for tree in trees):
            parser.error("compare takes two directories, each with a tree of this repository")
        arguments.studies = [comparison(*trees)]
    else:
        unknown = set(arguments.names) - set(NAMES)
        if unknown:
            parser.error(f"there is no {', '.join(sorted(unknown))}; names: {', '.join(NAMES)}")
        arguments.studies = named(arguments.names)
    return arguments


if __name__ == "__main__":
    sys.exit(main())
