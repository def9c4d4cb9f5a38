"""Clusters under traffic, and the table of what was done to them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.rig.report import write_between
from tests.chaos.faults import in_words
from tests.chaos.observations import Observation, as_markdown
from tests.chaos.scenes import Scene, scene
from tests.e2e.conftest import clipper_home

__all__ = ["clipper_home"]

_SEED = 20
_CASES = 2_000
_TABLE = pytest.StashKey[list[Observation]]()
_FOUND = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """What the fuzzing is to begin with, and how long it is to go on."""
    parser.addoption("--fuzz-seed", type=int, default=_SEED, help="what the cases of the fuzzing follow from")
    parser.addoption("--fuzz-cases", type=int, default=_CASES, help="how many there are")
    parser.addoption("--write-tables", type=Path, help="a document with marks where the tables of the faults are to be")


@pytest.fixture(scope="session")
def fuzz_seed(pytestconfig: pytest.Config) -> int:
    """What the cases of the fuzzing follow from."""
    return int(pytestconfig.getoption("--fuzz-seed"))


@pytest.fixture(scope="session")
def fuzz_cases(pytestconfig: pytest.Config) -> int:
    """How many there are."""
    return int(pytestconfig.getoption("--fuzz-cases"))


@pytest.fixture(scope="session")
def table(pytestconfig: pytest.Config) -> list[Observation]:
    """What was observed; printed at the end."""
    return pytestconfig.stash.setdefault(_TABLE, [])


@pytest.fixture(scope="session")
def found(pytestconfig: pytest.Config) -> list[str]:
    """What the fuzzing has to tell; printed at the end."""
    return pytestconfig.stash.setdefault(_FOUND, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Prints it, and writes it down where that was asked for."""
    document = config.getoption("--write-tables")
    for line in config.stash.get(_FOUND, []):
        terminalreporter.write_line(line)
        if document:
            write_between(document, "make chaos: fuzzing", f"{line}\n")
    if observations := config.stash.get(_TABLE, []):
        terminalreporter.section("faults")
        terminalreporter.write_line(as_markdown(observations))
        if document:
            write_between(document, "make chaos: faults", f"{as_markdown(observations)}\n")
            write_between(document, "make chaos: effects", f"{in_words(each.fault for each in observations)}\n")


@pytest.fixture(scope="module")
def pair(clipper_home: Path) -> Iterator[Scene]:
    """Two query services; a fault leaves it mended."""
    with scene("chaos") as running:
        yield running


@pytest.fixture(scope="module")
def pair_of_pairs(clipper_home: Path) -> Iterator[Scene]:
    """Two query services of two processes each."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("CLIPPER_PROCESSES", "2")
        with scene("chaos-processes") as running:
            yield running
