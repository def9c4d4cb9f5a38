"""Models whose packages are not those of the image that theirs is based on."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from clipper_admin import ClipperConnection
from clipper_admin.deployers import python as python_deployer
from tests.fixtures.clients import RestClient
from tests.fixtures.waiting import wait_until

pytestmark = pytest.mark.timeout(600)
SLO_MICROS = 5_000_000


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
