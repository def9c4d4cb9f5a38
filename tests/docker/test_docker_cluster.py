"""DockerContainerManager's services: started, found again, stopped, several clusters side by side."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
import requests

from clipper_admin import ClipperConnection, ClipperException, DockerContainerManager
from clipper_admin.deployers import python as python_deployer
from tests.fixtures.clients import NativeClient, RestClient
from tests.fixtures.docker_clusters import (
    MODEL_LABEL,
    NETWORK,
    ROLES,
    RUN,
    containers,
    manager,
    of_role,
    port_of,
)
from tests.fixtures.fluentd import Fluentd
from tests.fixtures.functions import feature_sum
from tests.fixtures.waiting import wait_until

SLO_MICROS = 5_000_000
EXTRA = {"labels": {"team": "vision"}, "environment": {"CLIPPER_LOG_LEVEL": "WARNING"}, "mem_limit": "1g"}


@pytest.fixture(scope="module")
def taken_ports() -> Iterator[list[int]]:
    """Ports on which somebody else listens."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    yield [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()


@pytest.fixture(scope="module")
def users_redis(engine: docker.DockerClient, docker_cluster: ClipperConnection) -> Iterator[str]:
    """The address of a Redis that no cluster has started."""
    [redis] = of_role(engine, docker_cluster, "redis")
    started = engine.containers.run(
        str(redis.attrs["Config"]["Image"]),
        ["redis-server", "--protected-mode", "no"],
        entrypoint=[],
        detach=True,
        network=NETWORK,
        name=f"redis-{RUN}",
    )
    try:
        started.reload()
        yield started.attrs["NetworkSettings"]["Networks"][NETWORK]["IPAddress"]
    finally:
        started.remove(force=True, v=True)


@pytest.fixture(scope="module")
def collector() -> Iterator[Fluentd]:
    """Who collects the logs of several machines."""
    with Fluentd() as listening:
        yield listening


@pytest.fixture(scope="module")
def special(
    engine: docker.DockerClient, taken_ports: list[int], users_redis: str, collector: Fluentd
) -> Iterator[ClipperConnection]:
    """A second cluster on the same network, with everything that can be chosen, and a model of its own."""
    query, management, prometheus = taken_ports
    connection = ClipperConnection(
        manager(
            "special",
            clipper_query_port=query,
            clipper_management_port=management,
            prometheus_port=prometheus,
            redis_ip=users_redis,
            use_centralized_log=True,
            fluentd_port=collector.port,
            extra_container_kwargs=EXTRA,
        )
    )
    try:
        connection.start_clipper(num_frontend_replicas=3)
        python_deployer.create_endpoint(connection, "there", "doubles", feature_sum, slo_micros=SLO_MICROS, check=False)
        yield connection
    finally:
        connection.stop_all(graceful=False)


def test_every_container_of_a_cluster_bears_its_labels(
    engine: docker.DockerClient, docker_cluster: ClipperConnection
) -> None:
    roles = {container.labels["ai.clipper.role"] for container in containers(engine, docker_cluster)}
    [envoy] = of_role(engine, docker_cluster, "envoy")

    assert roles >= ROLES
    assert containers(engine, docker_cluster, "ai.clipper.query_frontend.label")
    assert containers(engine, docker_cluster, "ai.clipper.management_frontend.label")
    assert docker_cluster.get_query_addr() == f"localhost:{envoy.labels['ai.clipper.query_frontend.query.port']}"
    assert docker_cluster.cm.get_admin_addr() == f"localhost:{envoy.labels['ai.clipper.management.port']}"
    [prometheus] = of_role(engine, docker_cluster, "prometheus")
    assert docker_cluster.get_metric_addr() == f"localhost:{prometheus.labels['ai.clipper.metric.port']}"


def test_only_envoy_and_prometheus_are_published_and_only_to_this_machine(
    engine: docker.DockerClient, docker_cluster: ClipperConnection
) -> None:
    published = {
        container.labels["ai.clipper.role"]: {binding["HostIp"] for binding in bindings}
        for container in containers(engine, docker_cluster)
        for bindings in container.ports.values()
        if bindings
    }

    assert published == {"envoy": {"127.0.0.1"}, "prometheus": {"127.0.0.1"}}


def test_services_cannot_write_their_root_and_have_no_rights_to_spare(
    engine: docker.DockerClient, docker_cluster: ClipperConnection
) -> None:
    for container in containers(engine, docker_cluster):
        options = container.attrs["HostConfig"]
        assert options["ReadonlyRootfs"], container.name
        assert options["CapDrop"] == ["ALL"], container.name
        assert options["SecurityOpt"] == ["no-new-privileges:true"], container.name
        assert container.attrs["Config"]["User"] not in ("", "0", "root"), container.name
        assert options["RestartPolicy"]["Name"] == "always", container.name


def test_taken_ports_are_replaced_by_free_ones(special: ClipperConnection, taken_ports: list[int]) -> None:
    addresses = [special.get_query_addr(), special.cm.get_admin_addr(), special.get_metric_addr()]

    assert special.get_all_apps() == ["there"]
    assert {port_of(address) for address in addresses}.isdisjoint(taken_ports)


def test_extra_container_kwargs_reach_every_container(engine: docker.DockerClient, special: ClipperConnection) -> None:
    found = containers(engine, special)

    assert {container.labels["ai.clipper.role"] for container in found} == {*ROLES, "replica"} - {"redis"}
    assert {container.labels["team"] for container in found} == {"vision"}
    assert {container.attrs["HostConfig"]["Memory"] for container in found} == {1 << 30}
    assert b'"level": "INFO"' not in of_role(engine, special, "management")[0].logs()


def test_several_query_frontends_share_the_work(engine: docker.DockerClient, special: ClipperConnection) -> None:
    assert len(of_role(engine, special, "query")) == 3
    url = f"http://{special.get_metric_addr()}/api/v1/query"
    clients = [NativeClient(special.get_query_addr(), "there") for _ in range(12)]

    def answered_by() -> int:
        assert all(client.ask([number, 1.0]).output == number + 1.0 for number, client in enumerate(clients))
        series = requests.get(url, params={"query": "clipper_predictions_total > 0"}, timeout=5).json()
        return len({each["metric"]["instance"] for each in series["data"]["result"]})

    wait_until(lambda: answered_by() == 3, within_s=30)
    for client in clients:
        client.close()


def test_clusters_run_side_by_side_and_know_nothing_of_each_other(
    docker_cluster: ClipperConnection, special: ClipperConnection
) -> None:
    docker_cluster.register_application("here", "doubles", "0", SLO_MICROS)

    with RestClient(special.get_query_addr(), "there") as client:
        assert client.ask([1.0, 2.0]).output == 3.0
    assert special.get_all_apps() == ["there"]
    assert "there" not in docker_cluster.get_all_apps()
    assert docker_cluster.get_num_replicas("there", 1) == 0
    docker_cluster.unregister_application("here")


def test_a_new_interpreter_finds_the_cluster_again(docker_cluster: ClipperConnection) -> None:
    program = (
        "from clipper_admin import ClipperConnection, DockerContainerManager\n"
        f"connection = ClipperConnection(DockerContainerManager({docker_cluster.cm.cluster_identifier!r}))\n"
        "connection.connect()\n"
        "print(connection.get_query_addr(), connection.get_metric_addr(), connection.get_all_apps() is not None)\n"
    )

    told = subprocess.run((sys.executable, "-c", program), capture_output=True, text=True, check=True).stdout.split()

    assert told == [docker_cluster.get_query_addr(), docker_cluster.get_metric_addr(), "True"]


def test_the_command_tells_how_a_cluster_stands(engine: docker.DockerClient, docker_cluster: ClipperConnection) -> None:
    python_deployer.create_endpoint(docker_cluster, "told-of", "doubles", feature_sum, num_replicas=2, check=False)
    command = (sys.executable, "-m", "clipper_admin", "status", "--docker", "--cluster")

    told = subprocess.run(
        (*command, docker_cluster.cm.cluster_identifier), capture_output=True, text=True, check=True
    ).stdout.splitlines()

    assert f"  predictions     {docker_cluster.get_query_addr()}" in told
    services = {
        container.name for container in containers(engine, docker_cluster) if MODEL_LABEL not in container.labels
    }
    assert {line.split()[0] for line in told if line.endswith("  running")} == services
    assert "told-of:1  yes      doubles  2/2 alive" in told
    docker_cluster.stop_models(["told-of"])
    docker_cluster.unregister_application("told-of")


def test_logs_of_every_container_are_collected(
    engine: docker.DockerClient, docker_cluster: ClipperConnection, tmp_path: Path
) -> None:
    files = docker_cluster.get_clipper_logs(str(tmp_path / "logs"))

    names = {f"{container.name}.log" for container in containers(engine, docker_cluster)}
    assert {Path(file).name for file in files} == names
    [management] = of_role(engine, docker_cluster, "management")
    first_line = (tmp_path / "logs" / f"{management.name}.log").read_text().splitlines()[0]
    assert json.loads(first_line)["service"] == "management"


def test_centralized_logs_are_sent_to_fluentd_and_stay_readable(
    special: ClipperConnection, collector: Fluentd, tmp_path: Path
) -> None:
    assert b"container_name" in collector.received.get(timeout=30)
    assert any(Path(file).read_bytes() for file in special.get_clipper_logs(str(tmp_path)))


def test_metrics_are_to_be_had_as_json_and_from_prometheus(docker_cluster: ClipperConnection) -> None:
    def scraped() -> bool:
        answer = requests.get(
            f"http://{docker_cluster.get_metric_addr()}/api/v1/query", params={"query": "up"}, timeout=5
        ).json()
        return [each["value"][1] for each in answer["data"]["result"]] == ["1", "1"]

    assert {"counters", "meters", "histograms"} <= set(docker_cluster.inspect_instance())
    wait_until(scraped, within_s=30)


def test_a_cluster_of_another_engine_is_not_found() -> None:
    with pytest.raises(ClipperException, match="There is no running cluster"):
        ClipperConnection(DockerContainerManager("nobody-started-this")).connect()


def test_stopped_models_and_a_stopped_cluster_leave_nothing_but_what_is_in_the_users_redis(
    engine: docker.DockerClient, special: ClipperConnection
) -> None:
    special.stop_all_model_containers()

    assert of_role(engine, special, "replica") == []
    assert special.get_all_models() == []
    assert special.get_all_apps() == ["there"]
    mounts = [mount for container in containers(engine, special) for mount in container.attrs["Mounts"]]
    networks = {name for each in containers(engine, special) for name in each.attrs["NetworkSettings"]["Networks"]}

    special.stop_all()
    special.stop_all()

    assert containers(engine, special) == []
    assert mounts
    assert {mount["Name"] for mount in mounts}.isdisjoint(volume.name for volume in engine.volumes.list())
    gone = networks - {network.name for network in engine.networks.list()}
    assert len(gone) == 1
    assert networks - gone == {NETWORK}
    with pytest.raises(ClipperException, match="no running cluster"):
        special.connect()

    special.start_clipper()

    assert special.get_all_apps() == ["there"]
