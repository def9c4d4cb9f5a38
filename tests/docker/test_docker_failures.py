"""What breaks or changes under a running client of a Docker cluster: `docker kill`, new versions, more replicas."""

import re
import socket
import time
from collections.abc import Iterable, Iterator

import docker
import pytest
from docker.models.containers import Container

from clipper_admin import ClipperConnection, ClipperException
from clipper_admin.deployers import python as python_deployer
from tests.fixtures.administration import answered
from tests.fixtures.clients import Answer, RestClient
from tests.fixtures.docker_clusters import (
    NETWORK,
    containers,
    crash,
    gateway,
    killed,
    manager,
    of_role,
    replicas,
)
from tests.fixtures.docker_engine import MANAGEMENT_IMAGE
from tests.fixtures.functions import telling
from tests.fixtures.gates import Dependent, Gate
from tests.fixtures.load import Load, asked_between, defaults, errors, ids_are_unique
from tests.fixtures.waiting import wait_until

# Generous, since what a change costs is to be seen here and not what a busy machine does.
SLO_MICROS = 5_000_000
# A lease that is not renewed is swept within this, also after a restart of management.
LEASES_LAST_S = 7.0


@pytest.fixture(scope="module")
def deployed(docker_cluster: ClipperConnection) -> Iterator[str]:
    """An application and its model of the same name."""
    python_deployer.create_endpoint(
        docker_cluster,
        "steady",
        "doubles",
        telling("1"),
        "no prediction",
        slo_micros=SLO_MICROS,
        num_replicas=2,
        check=False,
    )
    yield "steady"
    docker_cluster.stop_models(["steady"])
    docker_cluster.unregister_application("steady")


@pytest.fixture(scope="module")
def lonely(engine: docker.DockerClient, base_images: None) -> Iterator[ClipperConnection]:
    """A cluster with one query service and an application "lone" with a model; a test leaves it running."""
    connection = ClipperConnection(manager("lonely"))
    try:
        connection.start_clipper()
        python_deployer.create_endpoint(
            connection, "lone", "doubles", telling("1"), "none", slo_micros=SLO_MICROS, check=False
        )
        yield connection
    finally:
        connection.stop_all(graceful=False)


@pytest.fixture
def name(docker_cluster: ClipperConnection, deployed: str) -> str:
    """The application's, of whose model version 1 is current and has two replicas."""
    docker_cluster.set_model_version(deployed, "1", num_replicas=2)
    return deployed


def load_on(connection: ClipperConnection, name: str) -> Load:
    return Load(connection.get_query_addr(), name)


def assert_all_predicted(answers: list[Answer]) -> None:
    assert errors(answers) == []
    assert defaults(answers) == []
    assert ids_are_unique(answers)


def is_predicted(connection: ClipperConnection) -> bool:
    """Whether a question to the lonely cluster's application is answered by its model."""
    with RestClient(connection.get_query_addr(), "lone") as client:
        return client.ask([1.0, time.monotonic()]).is_prediction


def address_of(container: Container) -> str:
    """The container's address on the clusters' network."""
    container.reload()
    return str(container.attrs["NetworkSettings"]["Networks"][NETWORK]["IPAddress"])


def leases(connection: ClipperConnection, name: str) -> set[str]:
    """The replicas of the model's version 1 that hold a lease."""
    return {replica for replica in connection.get_all_model_replicas() if replica.startswith(f"{name}:1:")}


def said(answers: Iterable[Answer]) -> set[str]:
    return {answer.output["says"] for answer in answers}


def test_a_killed_replica_costs_no_prediction(
    engine: docker.DockerClient, docker_cluster: ClipperConnection, name: str
) -> None:
    victim = replicas(engine, docker_cluster, name, "1")[0]

    with load_on(docker_cluster, name) as load:
        victim.kill()
        load.wait_for_more(200)
        docker_cluster.set_num_replicas(name, 2)
        load.wait_for_more()

    assert_all_predicted(load.answers)
    assert len(replicas(engine, docker_cluster, name, "1")) == 2


def test_one_of_two_query_services_crashes_and_no_request_fails(
    engine: docker.DockerClient, docker_cluster: ClipperConnection, name: str
) -> None:
    first, _second = of_role(engine, docker_cluster, "query")

    with load_on(docker_cluster, name) as load:
        crash(first)
        load.wait_for_more(asked_after_s=time.monotonic())

    assert_all_predicted(load.answers)


def test_predictions_go_on_without_management_and_replicas_find_it_under_another_address(
    engine: docker.DockerClient, docker_cluster: ClipperConnection, name: str
) -> None:
    [management] = of_role(engine, docker_cluster, "management")
    # That of a replica which was killed before lapses by and by.
    wait_until(lambda: len(leases(docker_cluster, name)) == 2)
    held = leases(docker_cluster, name)
    address = address_of(management)

    with load_on(docker_cluster, name) as load:
        management.kill()
        squatter = engine.containers.run(MANAGEMENT_IMAGE, ["sleep", "60"], network=NETWORK, detach=True)
        try:
            management.start()
            assert address_of(squatter) == address != address_of(management)
            answered(docker_cluster.get_all_apps)
            load.wait_for_more(asked_after_s=time.monotonic() + LEASES_LAST_S)
        finally:
            squatter.remove(force=True)

    assert_all_predicted(load.answers)
    assert leases(docker_cluster, name) == held


def test_predictions_go_on_without_redis_and_the_configuration_is_kept(
    engine: docker.DockerClient, docker_cluster: ClipperConnection, name: str
) -> None:
    [redis] = of_role(engine, docker_cluster, "redis")

    with load_on(docker_cluster, name) as load:
        with killed(redis):
            load.wait_for_more(100)
        answered(docker_cluster.get_all_apps)
        load.wait_for_more(100)

    assert_all_predicted(load.answers)
    assert name in docker_cluster.get_all_apps()
    docker_cluster.set_num_replicas(name, 1)


def test_replicas_come_and_go_unnoticed(docker_cluster: ClipperConnection, name: str) -> None:
    with load_on(docker_cluster, name) as load:
        docker_cluster.set_num_replicas(name, 3)
        docker_cluster.set_num_replicas(name, 1)
        load.wait_for_more()

    assert_all_predicted(load.answers)


def test_a_new_version_takes_over_without_a_default_output_or_a_failed_request(
    docker_cluster: ClipperConnection, name: str
) -> None:
    with load_on(docker_cluster, name) as load:
        python_deployer.deploy_python_closure(docker_cluster, name, 2, "doubles", telling("2"), check=False)
        changed_s = time.monotonic()
        load.wait_for_more(asked_after_s=changed_s)
        docker_cluster.stop_inactive_model_versions([name])
        load.wait_for_more()

    assert_all_predicted(load.answers)
    assert said(load.answers) == {"1", "2"}
    assert said(asked_between(load.answers, changed_s)) == {"2"}


# Where the machine has no time to start it, the edge's patience is over first.
@pytest.mark.alone
def test_requests_wait_for_the_only_query_service_though_its_name_is_away(
    engine: docker.DockerClient, lonely: ClipperConnection
) -> None:
    [query] = of_role(engine, lonely, "query")

    with load_on(lonely, "lone") as load:
        for _ in range(3):
            with killed(query):
                # Envoy asks for the name once a second, and it is no more until the container is started.
                time.sleep(1.5)
            load.wait_for_more(asked_after_s=time.monotonic())

    assert_all_predicted(load.answers)


def test_a_start_that_fails_beside_stopped_containers_removes_none_and_the_next_finds_all_that_there_was(
    engine: docker.DockerClient, lonely: ClipperConnection
) -> None:
    before = [container.id for container in containers(engine, lonely)]
    for container in containers(engine, lonely):
        container.kill()
    [envoy] = of_role(engine, lonely, "envoy")
    with socket.create_server(("127.0.0.1", int(envoy.labels["ai.clipper.query_frontend.query.port"]))):
        with pytest.raises(ClipperException, match=f"start the container {envoy.name} again"):
            lonely.start_clipper()
        assert [container.id for container in containers(engine, lonely)] == before

    lonely.start_clipper()

    assert lonely.get_all_apps() == ["lone"]
    assert is_predicted(lonely)


def test_a_cluster_that_was_stopped_by_hand_is_started_again_with_all_that_it_had_but_what_cannot_be_loaded(
    engine: docker.DockerClient, lonely: ClipperConnection, caplog: pytest.LogCaptureFixture
) -> None:
    with Gate().guarded() as gate:
        gate.open()
        dependent = Dependent(gateway(engine), gate.port, "lost")
        python_deployer.deploy_python_closure(lonely, "lost", 1, "doubles", dependent, check=False)
    before = [container.id for container in containers(engine, lonely)]
    for container in containers(engine, lonely):
        container.kill()

    again = ClipperConnection(manager("lonely"))
    again.start_clipper()

    assert [container.id for container in containers(engine, lonely)] == before
    assert again.get_linked_models("lone") == ["lone"]
    assert is_predicted(again)
    [lost] = replicas(engine, lonely, "lost", "1")
    named = rf"(?s){lost.name} has died \d+ times since.*ConnectionRefusedError"
    assert any(re.search(named, record.getMessage()) for record in caplog.records if record.levelname == "WARNING")
