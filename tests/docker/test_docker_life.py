"""The life of a deployment on Docker: repeated, replaced, and its image freed."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import docker
import pytest

from clipper_admin import ClipperConnection, ClipperException
from clipper_admin.deployers import python as python_deployer
from tests.fixtures.clients import RestClient
from tests.fixtures.docker_clusters import NETWORK, NewDockerCluster, gateway
from tests.fixtures.gates import Gate

SLO_MICROS = 5_000_000


@pytest.fixture
def name(docker_cluster: ClipperConnection, request: pytest.FixtureRequest) -> Iterator[str]:
    """A name for one test's application and model, none of which is left afterwards."""
    name = request.node.originalname.removeprefix("test_").replace("_", "-")[:30].rstrip("-")
    yield name
    docker_cluster.stop_models([name])
    if name in docker_cluster.get_all_apps():
        docker_cluster.unregister_application(name)


def saying(text: str) -> Callable[[Sequence[Any]], list[str]]:
    return lambda inputs: [text for _ in inputs]


def says(connection: ClipperConnection, application: str) -> object:
    with RestClient(connection.get_query_addr(), application) as client:
        return client.ask([1.0]).output


def images(engine: docker.DockerClient, connection: ClipperConnection, name: str) -> set[str]:
    """The ids of the images that a cluster has built for a model, whatever they are called by now."""
    labels = [f"ai.clipper.image.cluster={connection.cm.cluster_identifier}"]
    found = engine.images.list(filters={"label": labels})
    return {str(image.id) for image in found if image.labels["ai.clipper.image.claim"].startswith(f"{name}_")}


def deploy(connection: ClipperConnection, name: str, text: str, **options: Any) -> str:
    options = {"version": 1, "num_replicas": 0, "check": False, **options}
    return python_deployer.deploy_python_closure(connection, name, input_type="doubles", func=saying(text), **options)


def test_after_many_deployments_and_stop_models_the_engine_has_the_images_that_it_had(
    engine: docker.DockerClient, docker_cluster: ClipperConnection, name: str
) -> None:
    before = {image.id for image in engine.images.list(all=True)}
    versions = [deploy(docker_cluster, name, str(number), version=None) for number in range(20)]
    assert versions == [str(number) for number in range(1, 21)]
    assert len(images(engine, docker_cluster, name)) == 20

    docker_cluster.stop_models([name])

    assert images(engine, docker_cluster, name) == set()
    left = {image.id: image for image in engine.images.list(all=True) if image.id not in before}
    assert not [each for each in left.values() if any(name in tag for tag in each.tags)]


def test_a_version_is_repeated_replaced_and_left_where_the_replacement_fails(
    engine: docker.DockerClient, docker_cluster: ClipperConnection, name: str
) -> None:
    def endpoint(text: str, **options: Any) -> None:
        python_deployer.create_endpoint(
            docker_cluster, name, "doubles", saying(text), slo_micros=SLO_MICROS, exist_ok=True, **options
        )

    endpoint("old")
    endpoint("old")
    with pytest.raises(ClipperException, match="with other code"):
        endpoint("new")
    endpoint("new", replace=True)
    assert says(docker_cluster, name) == "new"
    assert len(images(engine, docker_cluster, name)) == 1

    with pytest.raises(ClipperException, match="before it was ready"):
        python_deployer.deploy_python_closure(
            docker_cluster, name, 1, "doubles", Exploding(), replace=True, check=False
        )
    assert says(docker_cluster, name) == "new"
    assert len(images(engine, docker_cluster, name)) == 1
    docker_cluster.set_num_replicas(name, 0)
    docker_cluster.set_num_replicas(name, 1)
    assert says(docker_cluster, name) == "new"


class Exploding:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return eval, ("1/0",)

    def __call__(self, inputs: object) -> object:
        return inputs


def test_an_image_that_somebody_has_named_or_based_another_on_stays(
    engine: docker.DockerClient, docker_cluster: ClipperConnection, name: str, tmp_path: Path
) -> None:
    deploy(docker_cluster, name, "kept")
    deploy(docker_cluster, name, "base", version=2)
    prefix = f"{docker_cluster.cm.cluster_identifier}-{name}"
    engine.images.get(f"{prefix}:1").tag(f"{prefix}-kept", "mine")
    (tmp_path / "Dockerfile").write_text(f"FROM {prefix}:2\nUSER root\n")
    engine.images.build(path=str(tmp_path), tag=f"{prefix}-based:mine", rm=True)

    docker_cluster.stop_models([name])
    docker_cluster.cm.prune()

    for kept in (f"{prefix}-kept:mine", f"{prefix}-based:mine"):
        engine.images.get(kept)
        engine.images.remove(kept, force=True)


def test_what_a_killed_program_has_built_is_pruned_and_what_is_used_is_not(
    engine: docker.DockerClient, docker_cluster: ClipperConnection, name: str
) -> None:
    deploy(docker_cluster, name, "used", version=2)
    with Gate().guarded() as gate:
        here = gateway(engine)
        program = f"""
from clipper_admin import ClipperConnection, DockerContainerManager
from clipper_admin.deployers import python
from tests.fixtures.gates import Gated
connection = ClipperConnection(DockerContainerManager(
    {docker_cluster.cm.cluster_identifier!r}, docker_network={NETWORK!r}))
connection.connect()
python.deploy_python_closure(connection, {name!r}, 1, "doubles", Gated({here!r}, {gate.port}, "killed"), check=False)
"""
        with subprocess.Popen((sys.executable, "-c", program)) as killed:
            assert gate.arrived.wait(60)
            killed.kill()
    docker_cluster.cm.stop_models({name: ["1"]})
    [used, left] = sorted(
        images(engine, docker_cluster, name),
        key=lambda each: "_1" in engine.images.get(each).labels["ai.clipper.image.claim"],
    )

    [listed] = [each for each in docker_cluster.cm.prune(dry_run=True) if name in each.name]
    assert listed.name.endswith(f"{name}:1")
    assert 0 < listed.size_bytes < 10_000_000
    docker_cluster.cm.prune()

    assert images(engine, docker_cluster, name) == {used}
    assert left not in images(engine, docker_cluster, name)


def test_a_cluster_that_is_forgotten_takes_its_images_along_and_one_that_is_kept_does_not(
    engine: docker.DockerClient, new_docker_cluster: NewDockerCluster
) -> None:
    connection = new_docker_cluster("life")
    connection.start_clipper()
    deploy(connection, "m", "kept")

    connection.stop_all(keep_state=True)
    connection.cm.prune()
    assert len(images(engine, connection, "m")) == 1
    connection.start_clipper()
    connection.stop_all()

    assert images(engine, connection, "m") == set()
