"""Models whose packages, or whose Python, are not those of the image that theirs is based on."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import docker
import pytest

from clipper_admin import ClipperConnection, ClipperException
from clipper_admin.deployers import python as python_deployer
from tests.fixtures.clients import RestClient
from tests.fixtures.docker_clusters import containers
from tests.fixtures.docker_engine import MANAGEMENT_IMAGE
from tests.fixtures.waiting import wait_until

pytestmark = pytest.mark.timeout(600)
SLO_MICROS = 5_000_000
# As nobody builds images of a Python to come.
ANOTHER_PYTHON = "3.99"


@pytest.fixture
def name(docker_cluster: ClipperConnection, request: pytest.FixtureRequest) -> Iterator[str]:
    """A name for one test's application and model, none of which is left afterwards."""
    name = request.node.originalname.removeprefix("test_").replace("_", "-")[:40].rstrip("-")
    docker_cluster.register_application(name, "doubles", "none", SLO_MICROS)
    yield name
    docker_cluster.stop_models([name])
    docker_cluster.unregister_application(name)


def test_what_a_container_is_made_of_can_be_had_in_other_versions_and_its_death_is_the_containers(
    docker_cluster: ClipperConnection, name: str
) -> None:
    def tell(inputs: Sequence[Any]) -> list[Any]:
        import os

        import google.protobuf
        import numpy

        if inputs[0][0] == 13.0:
            os._exit(7)
        return [[numpy.__version__, google.protobuf.__version__, os.getuid(), row.sum()] for row in inputs]

    packages = ["numpy==1.26.4", "protobuf==4.25.3"]
    python_deployer.deploy_python_closure(docker_cluster, name, 1, "doubles", tell, pkgs_to_install=packages)
    docker_cluster.link_model_to_app(name, name)

    with RestClient(docker_cluster.get_query_addr(), name) as client:
        assert client.ask([1.0, 2.5]).output == ["1.26.4", "4.25.3", 10001, 3.5]
        assert set(packages) <= set(docker_cluster.get_model_packages(name))
        client.ask([13.0])
        wait_until(lambda: client.ask([2.0, 2.5]).is_prediction, within_s=60.0)


def test_what_is_installed_for_a_model_is_told_and_nothing_is_left_of_the_question(
    engine: docker.DockerClient, docker_cluster: ClipperConnection, name: str
) -> None:
    python_deployer.deploy_python_closure(docker_cluster, name, 1, "doubles", len, num_replicas=0, check=False)
    docker_cluster.register_model(name, "foreign", "doubles", MANAGEMENT_IMAGE)
    before = {each.id for each in containers(engine, docker_cluster)}

    command = [sys.executable, "-m", "clipper_admin", "packages", "--docker", f"{name}:1"]
    command += ["--cluster", docker_cluster.cm.cluster_identifier]
    told = subprocess.run(command, check=True, capture_output=True, text=True)

    assert told.stderr == ""
    assert told.stdout.splitlines() == docker_cluster.get_model_packages(name, 1)
    assert {each.partition("==")[0] for each in told.stdout.splitlines()} >= {"cloudpickle", "grpcio", "numpy"}
    with pytest.raises(ClipperException, match="does not say what is installed in it"):
        docker_cluster.get_model_packages(name, "foreign")
    assert {each.id for each in containers(engine, docker_cluster)} == before


def test_a_python_that_no_image_has_is_refused_with_what_to_do(
    docker_cluster: ClipperConnection, name: str, tmp_path: Path
) -> None:
    (tmp_path / "func.pkl").write_bytes(b"never loaded")

    with pytest.raises(ClipperException, match=f"(?s)The model needs python{ANOTHER_PYTHON}, which is.*BASE_IMAGE"):
        docker_cluster.build_model(name, 1, str(tmp_path), "default", python=ANOTHER_PYTHON)
    with pytest.raises(ClipperException, match=r"as in '3\.12', not"):
        docker_cluster.build_model(name, 1, str(tmp_path), "default", python=sys.executable)
