"""How a cluster of Docker containers is started: by several programs, after others were killed, in vain."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import docker
import pytest
from docker.models.volumes import Volume

from clipper_admin import ClipperConnection, ClipperException, DockerContainerManager
from clipper_admin.deployers import python as python_deployer
from tests.fixtures.docker_clusters import (
    CLUSTER_LABEL,
    NETWORK,
    ROLES,
    RUN,
    NewDockerCluster,
    containers,
    gateway,
    manager,
    of_role,
    port_of,
    remove_images,
    unused_volumes,
)
from tests.fixtures.docker_engine import MODEL_CONTAINER_IMAGE
from tests.fixtures.gates import Gate, Gated
from tests.fixtures.restarts import the_start_waits_for_the_model_and_the_first_question_is_answered_by_it
from tests.fixtures.waiting import wait_until

# Those that nobody has released are still there when whoever held them is started again.
LASTING_LEASES = {"environment": {"CLIPPER_LEASE_TTL_S": "60"}}
SLO_MICROS = 5_000_000
# Far less than what whoever starts a cluster is given.
TAKEN_OVER_WITHIN_S = 60.0


def said(connection: ClipperConnection, message: str) -> str:
    """A message of a cluster in the log."""
    return f"[{connection.cm.cluster_identifier}] {message}"


def volumes_of(engine: docker.DockerClient, connection: ClipperConnection, *labels: str) -> list[Volume]:
    wanted = [f"{CLUSTER_LABEL}={connection.cm.cluster_identifier}", *labels]
    return engine.volumes.list(filters={"label": wanted})


def test_starting_a_running_cluster_connects_to_it_and_disturbs_nothing(
    engine: docker.DockerClient, docker_cluster: ClipperConnection, caplog: pytest.LogCaptureFixture
) -> None:
    before = [container.id for container in containers(engine, docker_cluster)]
    again = ClipperConnection(DockerContainerManager(f"shared-{RUN}", docker_network=NETWORK))

    again.start_clipper()

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

    again.start_clipper(mgmt_frontend_image="another:1", num_frontend_replicas=3, cache_size=1000)

    [warning] = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    for ineffective in (
        "mgmt_frontend_image=another:1 (it has clipper/management_frontend:",
        "num_frontend_replicas=3 (it has 2)",
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


def killed_while_it_starts(connection: ClipperConnection, moment: str) -> None:
    """A program starts the cluster and is dead afterwards."""
    program = (
        "import os, sys\n"
        "from clipper_admin import ClipperConnection, DockerContainerManager\n"
        "from clipper_admin.hosts.docker.host import DockerHost\n"
        f"DockerHost.{moment} = lambda *arguments: os._exit(9)\n"
        "ports = dict(clipper_query_port=0, clipper_management_port=0, prometheus_port=0)\n"
        "ClipperConnection(DockerContainerManager(sys.argv[1], docker_network=sys.argv[2], **ports)).start_clipper()\n"
    )
    command = (sys.executable, "-c", program, connection.cm.cluster_identifier, NETWORK)
    assert subprocess.run(command, check=False).returncode == 9


def test_what_a_program_left_that_was_killed_while_it_started_the_cluster_can_be_stopped(
    engine: docker.DockerClient, new_docker_cluster: NewDockerCluster
) -> None:
    connection = new_docker_cluster("half")
    killed_while_it_starts(connection, "_wait_until_serving")
    assert volumes_of(engine, connection, "ai.clipper.claimant")

    connection.stop_all()
    connection.start_clipper()

    assert connection.get_all_apps() == []


@pytest.mark.parametrize("moment", ["_start_edge", "_wait_until_serving"], ids=["half way", "nearly there"])
def test_a_program_that_was_killed_while_it_started_the_cluster_holds_up_nobody(
    engine: docker.DockerClient, new_docker_cluster: NewDockerCluster, moment: str
) -> None:
    connection = new_docker_cluster("inherited")
    killed_while_it_starts(connection, moment)

    started_s = time.monotonic()
    connection.start_clipper()

    assert time.monotonic() - started_s < TAKEN_OVER_WITHIN_S
    assert connection.get_all_apps() == []
    found = containers(engine, connection)
    assert sorted(each.labels["ai.clipper.role"] for each in found) == sorted(ROLES)
    assert {each.attrs["HostConfig"]["RestartPolicy"]["Name"] for each in found} == {"always"}
    assert volumes_of(engine, connection, "ai.clipper.claimant") == []


def test_a_cluster_that_is_stopped_with_its_state_kept_starts_again_with_all_that_it_had(
    engine: docker.DockerClient, new_docker_cluster: NewDockerCluster
) -> None:
    connection = new_docker_cluster("resting", extra_container_kwargs=LASTING_LEASES)
    connection.start_clipper()
    with Gate().guarded() as gate:
        gate.open()
        slow = Gated(gateway(engine), gate.port, "slow")
        python_deployer.create_endpoint(connection, "kept", "doubles", slow, slo_micros=SLO_MICROS, check=False)
        before = [container.id for container in containers(engine, connection)]
        for graceful in (True, False):
            connection.stop_all(graceful=graceful, keep_state=True)

            assert {container.status for container in containers(engine, connection)} == {"exited"}
            again = new_docker_cluster("resting", extra_container_kwargs=LASTING_LEASES)
            the_start_waits_for_the_model_and_the_first_question_is_answered_by_it(again, "kept", gate)
            found = containers(engine, connection)
            assert [container.id for container in found] == before
            assert {each.attrs["HostConfig"]["RestartPolicy"]["Name"] for each in found} == {"always"}
    connection.stop_all(graceful=False)
    remove_images(engine, f"{connection.cm.cluster_identifier}-")


def test_a_service_that_dies_fails_the_start_with_its_own_log_and_nothing_is_left(
    engine: docker.DockerClient, new_docker_cluster: NewDockerCluster
) -> None:
    connection = new_docker_cluster("dying", docker_network=f"{NETWORK}-own")
    unused = unused_volumes(engine)

    with pytest.raises(
        ClipperException, match=r"(?s)query_frontend-\d+ ended with exit code 2 while.*CLIPPER_MODEL_NAME"
    ):
        connection.start_clipper(query_frontend_image=MODEL_CONTAINER_IMAGE)

    assert containers(engine, connection) == []
    assert volumes_of(engine, connection) == []
    # Those of others who stop meanwhile are gone in a moment.
    wait_until(lambda: unused_volumes(engine) <= unused)
    assert [network.name for network in engine.networks.list() if f"{NETWORK}-own" in str(network.name)] == []


def test_an_image_that_cannot_be_had_fails_the_start_by_name(
    engine: docker.DockerClient, new_docker_cluster: NewDockerCluster
) -> None:
    connection = new_docker_cluster("imageless")

    with pytest.raises(ClipperException, match=r"neither has the image localhost:1/none:1 nor can pull it"):
        connection.start_clipper(mgmt_frontend_image="localhost:1/none:1")

    assert containers(engine, connection) == []
