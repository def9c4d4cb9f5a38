"""Clusters of real processes, on free ports and in a home of the tests' own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clipper_admin import ClipperConnection, ProcessContainerManager
from tests.fixtures.refusals import bad_input_applications, nothing_takes_harm

__all__ = ["bad_input_applications", "nothing_takes_harm"]

NewCluster = Callable[[str], ClipperConnection]


@pytest.fixture(scope="session", autouse=True)
def clipper_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The directory in which all clusters of this process keep their files."""
    home = tmp_path_factory.mktemp("clipper")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("CLIPPER_HOME", str(home))
        yield home


@pytest.fixture(scope="package")
def cluster(clipper_home: Path) -> Iterator[ClipperConnection]:
    """One running cluster for all tests; a test registers under names of its own and breaks nothing."""
    connection = ClipperConnection(free_ports_manager("shared"))
    try:
        connection.start_clipper(num_frontend_replicas=2)
        yield connection
    finally:
        connection.stop_all(graceful=False)


@pytest.fixture
def new_cluster(clipper_home: Path) -> Iterator[NewCluster]:
    """Makes connections to clusters of a test's own, not started yet; afterwards nothing of them runs."""
    made: list[ClipperConnection] = []

    def make(name: str) -> ClipperConnection:
        made.append(ClipperConnection(free_ports_manager(name)))
        return made[-1]

    yield make
    for connection in made:
        connection.stop_all(graceful=False)


def free_ports_manager(name: str) -> ProcessContainerManager:
    """A manager of a cluster on ports that the operating system chooses."""
    return ProcessContainerManager(name, query_port=0, management_port=0, metrics_port=0)
