"""One cluster for the models of all frameworks, and one for containers in other languages."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from clipper_admin import ClipperConnection
from tests.cookbook.conftest import cluster
from tests.e2e.conftest import clipper_home, free_ports_manager
from tests.fixtures.frameworks import CLUSTER, Workshop

__all__ = ["clipper_home", "cluster"]


@pytest.fixture(scope="session")
def workshop(clipper_home: Path) -> Iterator[Workshop]:
    """Where programs deploy, and their applications are asked."""
    connection = ClipperConnection(free_ports_manager(CLUSTER))
    try:
        connection.start_clipper()
        yield Workshop(connection)
    finally:
        connection.stop_all(graceful=False)
