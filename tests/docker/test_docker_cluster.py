"""DockerContainerManager's services: started, found again, stopped, several clusters side by side."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import docker
import pytest
import requests
from docker.models.volumes import Volume

from clipper_admin import ClipperConnection, ClipperException, DockerContainerManager
from clipper_admin.deployers import python as python_deployer
from tests.fixtures.clients import NativeClient, RestClient
from tests.fixtures.compose import ComposeCluster
from tests.fixtures.docker_clusters import (
    CLUSTER_LABEL,
    MODEL_LABEL,
    NETWORK,
    RUN,
    NewDockerCluster,
    containers,
    manager,
    of_role,
    remove_images,
)
from tests.fixtures.docker_engine import MODEL_CONTAINER_IMAGE
from tests.fixtures.fluentd import Fluentd
from tests.fixtures.functions import feature_sum
from tests.fixtures.waiting import wait_until

ROLES = {"redis", "management", "query", "envoy", "prometheus"}
SLO_MICROS = 2_000_000
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
        python_deployer.create_endpoint(connection, "there", "doubles", feature_sum, slo_micros=SLO_MICROS)
        yield connection
    finally:
        connection.stop_all(graceful=False)


def said(connection: ClipperConnection, message: str) -> str:
    """A message of a cluster in the log."""
    return f"[{connection.cm.cluster_identifier}] {message}"


def volumes_of(engine: docker.DockerClient, connection: ClipperConnection, label: str) -> list[Volume]:
    wanted = [f"{CLUSTER_LABEL}={connection.cm.cluster_identifier}", label]
    return engine.volumes.list(filters={"label": wanted})


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


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
    assert of_role(engine, special, "management")[0].logs() == b""


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


def test_starting_a_running_cluster_connects_to_it_and_disturbs_nothing(
    engine: docker.DockerClient, docker_cluster: ClipperConnection, caplog: pytest.LogCaptureFixture
) -> None:
    before = [container.id for container in containers(engine, docker_cluster)]
    again = ClipperConnection(manager("shared"))

    again.start_clipper(num_frontend_replicas=2)

    assert [container.id for container in containers(engine, docker_cluster)] == before
    assert again.inspect_instance()
    assert said(again, "The cluster runs already; connecting to it") in caplog.messages
    addresses = (again.get_query_addr(), again.cm.get_admin_addr(), again.get_metric_addr())
    told = "Predictions at {}, administration at {}, metrics at {}".format(*addresses)
    assert said(again, told) in caplog.messages
    assert all(record.levelname == "INFO" for record in caplog.records)


def test_arguments_that_a_running_cluster_does_not_follow_are_named(
    docker_cluster: ClipperConnection, caplog: pytest.LogCaptureFixture
) -> None:
    again = ClipperConnection(manager("shared", clipper_query_port=1, redis_ip="192.0.2.1"))

    again.start_clipper(mgmt_frontend_image="another:1", cache_size=1000)

    [warning] = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    for ineffective in (
        "mgmt_frontend_image=another:1 (it has clipper/management_frontend:",
        "num_frontend_replicas=1 (it has 2)",
        "cache_size=1000 (it has 33554432)",
        f"clipper_query_port=1 (it has {port_of(docker_cluster.get_query_addr())})",
        "redis_ip:redis_port=192.0.2.1:6379 (it has redis-",
    ):
        assert ineffective in warning
    assert "stop_all" in warning


def test_of_programs_that_start_the_same_cluster_at_once_one_does_and_all_are_connected(
    engine: docker.DockerClient, new_docker_cluster: NewDockerCluster, caplog: pytest.LogCaptureFixture
) -> None:
    connections = [new_docker_cluster("contended") for _ in range(3)]

    with ThreadPoolExecutor(len(connections), thread_name_prefix="program") as programs:
        list(programs.map(ClipperConnection.start_clipper, connections))

    roles = [container.labels["ai.clipper.role"] for container in containers(engine, connections[0])]
    assert sorted(roles) == sorted(ROLES)
    assert [connection.get_all_apps() for connection in connections] == [[], [], []]
    assert caplog.messages.count(said(connections[0], "The cluster runs already; connecting to it")) == 2
    assert volumes_of(engine, connections[0], "ai.clipper.claimant") == []


def test_a_cluster_that_is_just_being_stopped_is_waited_for_and_started_anew(
    engine: docker.DockerClient, new_docker_cluster: NewDockerCluster
) -> None:
    connection, again = new_docker_cluster("stopping"), new_docker_cluster("stopping")
    connection.start_clipper()
    before = {container.id for container in containers(engine, connection)}
    [envoy], [redis] = of_role(engine, connection, "envoy"), of_role(engine, connection, "redis")

    # Redis ends last, and standing still like this not before it is allowed to.
    redis.pause()
    with ThreadPoolExecutor(2, thread_name_prefix="program") as programs:
        stopping = programs.submit(connection.stop_all)
        envoy.wait(condition="removed")
        starting = programs.submit(again.start_clipper)
        with pytest.raises(TimeoutError):
            starting.result(timeout=0.5)
        redis.unpause()
        stopping.result()
        starting.result()

    assert before.isdisjoint(container.id for container in containers(engine, again))
    assert again.get_all_apps() == []


def test_what_a_program_left_that_was_killed_while_it_started_the_cluster_can_be_stopped(
    engine: docker.DockerClient, new_docker_cluster: NewDockerCluster
) -> None:
    connection = new_docker_cluster("half")
    program = (
        "import os, sys\n"
        "from clipper_admin import ClipperConnection, DockerContainerManager\n"
        "from clipper_admin.hosts.docker.cluster import DockerCluster\n"
        "DockerCluster._wait_until_serving = lambda self: os._exit(9)\n"
        "ports = dict(clipper_query_port=0, clipper_management_port=0, prometheus_port=0)\n"
        "ClipperConnection(DockerContainerManager(sys.argv[1], docker_network=sys.argv[2], **ports)).start_clipper()\n"
    )
    command = (sys.executable, "-c", program, connection.cm.cluster_identifier, NETWORK)
    assert subprocess.run(command, check=False).returncode == 9
    assert volumes_of(engine, connection, "ai.clipper.claimant")

    connection.stop_all()
    connection.start_clipper()

    assert connection.get_all_apps() == []


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
    python_deployer.create_endpoint(docker_cluster, "told-of", "doubles", feature_sum, num_replicas=2)
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


def test_a_service_that_dies_fails_the_start_with_its_own_log_and_nothing_is_left(
    engine: docker.DockerClient, new_docker_cluster: NewDockerCluster
) -> None:
    connection = new_docker_cluster("dying", docker_network=f"{NETWORK}-own")
    volumes = {volume.name for volume in engine.volumes.list()}

    with pytest.raises(
        ClipperException, match=r"(?s)query_frontend-\d+ ended with exit code 2 while.*CLIPPER_MODEL_NAME"
    ):
        connection.start_clipper(query_frontend_image=MODEL_CONTAINER_IMAGE)

    assert containers(engine, connection) == []
    assert {volume.name for volume in engine.volumes.list()} <= volumes
    assert [network.name for network in engine.networks.list() if f"{NETWORK}-own" in str(network.name)] == []


def test_an_image_that_cannot_be_had_fails_the_start_by_name(
    engine: docker.DockerClient, new_docker_cluster: NewDockerCluster
) -> None:
    connection = new_docker_cluster("imageless")

    with pytest.raises(ClipperException, match=r"neither has the image localhost:1/none:1 nor can pull it"):
        connection.start_clipper(mgmt_frontend_image="localhost:1/none:1")

    assert containers(engine, connection) == []


def test_metrics_are_to_be_had_as_json_and_from_prometheus(docker_cluster: ClipperConnection) -> None:
    def scraped() -> bool:
        answer = requests.get(
            f"http://{docker_cluster.get_metric_addr()}/api/v1/query", params={"query": "up"}, timeout=5
        ).json()
        return [each["value"][1] for each in answer["data"]["result"]] == ["1", "1"]

    assert {"counters", "meters", "histograms"} <= set(docker_cluster.inspect_instance())
    wait_until(scraped, within_s=30)


def test_a_compose_cluster_is_found_gets_models_and_is_left_running(
    engine: docker.DockerClient, compose: ComposeCluster
) -> None:
    connection = ClipperConnection(DockerContainerManager(compose.project))
    connection.connect()
    python_deployer.create_endpoint(connection, "guest", "doubles", feature_sum, slo_micros=SLO_MICROS)

    with RestClient(connection.get_query_addr(), "guest") as client:
        assert client.ask([1.0, 2.0]).output == 3.0
    services = [container.id for container in containers(engine, connection) if MODEL_LABEL not in container.labels]
    connection.stop_all()

    assert [container.id for container in containers(engine, connection)] == services
    assert "guest" in connection.get_all_apps()
    connection.stop_models(["guest"])
    remove_images(engine, f"{compose.project}-guest:")


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
    before = {network.name for network in engine.networks.list()}

    special.stop_all()
    special.stop_all()

    assert containers(engine, special) == []
    assert mounts
    assert {mount["Name"] for mount in mounts}.isdisjoint(volume.name for volume in engine.volumes.list())
    gone = before - {network.name for network in engine.networks.list()}
    assert len(gone) == 1
    assert NETWORK not in gone
    with pytest.raises(ClipperException, match="no running cluster"):
        special.connect()

    special.start_clipper()

    assert special.get_all_apps() == ["there"]
