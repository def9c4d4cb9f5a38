"""Clusters under traffic, and the table of what was done to them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.observations import Observation, as_markdown
from tests.chaos.scenes import Scene, scene
from tests.e2e.conftest import clipper_home

__all__ = ["clipper_home"]

_TABLE = pytest.StashKey[list[Observation]]()


@pytest.fixture(scope="session")
def table(pytestconfig: pytest.Config) -> list[Observation]:
    """What was observed; printed at the end."""
    return pytestconfig.stash.setdefault(_TABLE, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Prints it."""
    if observations := config.stash.get(_TABLE, []):
        terminalreporter.section("faults")
        terminalreporter.write_line(as_markdown(observations))


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
