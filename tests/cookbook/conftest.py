"""A cluster for the programs of the cookbook, which find it by its name: they call theirs nothing in particular."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from clipper_admin import ClipperConnection
from tests.e2e.conftest import clipper_home, free_ports_manager
from tests.fixtures.cookbook import Reader

__all__ = ["clipper_home"]


@pytest.fixture(scope="module")
def cluster(clipper_home: Path) -> Iterator[ClipperConnection]:
    """The running cluster of the name that a cluster has unless it is given one, on free ports."""
    connection = ClipperConnection(free_ports_manager("default-cluster"))
    try:
        connection.start_clipper()
        yield connection
    finally:
        connection.stop_all(graceful=False)


@pytest.fixture
def reader(cluster: ClipperConnection, tmp_path: Path) -> Iterator[Reader]:
    """A reader; afterwards nothing of what they have followed is registered or runs."""
    yield Reader(cluster, tmp_path)
    for application in cluster.get_all_apps():
        cluster.unregister_application(application)
    cluster.stop_all_model_containers()
