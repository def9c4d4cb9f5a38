"""The Docker engine, and one compose cluster on it for all tests that leave it as they found it."""

import os
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests.fixtures.compose import ComposeCluster
from tests.fixtures.docker_clusters import docker_cluster, new_docker_cluster
from tests.fixtures.docker_engine import required_engine

__all__ = ["docker_cluster", "new_docker_cluster"]

_STAND_INS = Path(__file__).parents[2] / "build" / "images.env"


@pytest.fixture(scope="session", autouse=True)
def base_images() -> Iterator[None]:
    """What `make stand-ins` built is used, unless the environment names other images."""
    lines = _STAND_INS.read_text().splitlines() if _STAND_INS.exists() else []
    with pytest.MonkeyPatch.context() as environment:
        for variable, _, image in (line.partition("=") for line in lines):
            environment.setenv(variable, os.environ.get(variable, image))
        yield


@pytest.fixture(scope="session", autouse=True)
def engine() -> Iterator[docker.DockerClient]:
    """A client of the engine, which every test here needs."""
    client = required_engine()
    yield client
    client.close()


@pytest.fixture(scope="package")
def compose_cluster(engine: docker.DockerClient) -> Iterator[ComposeCluster]:
    """A running cluster with one query service."""
    cluster = ComposeCluster(engine)
    try:
        cluster.up()
        yield cluster
    finally:
        cluster.down(keep_data=False)


@pytest.fixture(scope="module")
def compose(compose_cluster: ComposeCluster) -> Iterator[ComposeCluster]:
    """The cluster; a test that breaks or scales it mends it. Replicas do not outlive the module's tests."""
    yield compose_cluster
    compose_cluster.remove_replicas()
