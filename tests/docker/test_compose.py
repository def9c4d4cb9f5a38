"""`docker compose up`: a model that joins the cluster answers, metrics are collected, what was registered is kept."""

import os
import re
import signal
from pathlib import Path

import docker
import requests

from clipper_admin import ClipperConnection, DockerContainerManager
from clipper_admin.deployers import python as python_deployer
from tests.fixtures.administration import answered
from tests.fixtures.clients import NativeClient, RestClient
from tests.fixtures.compose import ORIGIN, ComposeCluster
from tests.fixtures.docker_clusters import MODEL_LABEL, containers, remove_images
from tests.fixtures.functions import feature_sum
from tests.fixtures.waiting import wait_until

# What docs/deploying.md runs in the container of Redis.
BACKUP, RESTORE = re.findall(
    r"redis sh -c '(.*?)' [<>] backup.rdb",
    (Path(__file__).parents[2] / "docs" / "deploying.md").read_text(),
    re.DOTALL,
)


def test_a_model_that_joins_the_cluster_predicts_by_rest_and_grpc(compose: ComposeCluster) -> None:
    compose.register("sum")
    compose.deploy("sum", "1", feature_sum)

    response = requests.post(f"http://{compose.query_address}/sum/predict", json={"input": [1.1, 2.2, 3.3]}, timeout=10)

    assert response.json()["output"] == 6.6
    assert response.json()["default"] is False
    with NativeClient(compose.query_address, "sum") as client:
        assert client.ask([1.0, 2.0]).output == 3.0


def test_a_header_of_one_client_fails_no_call_of_another(compose: ComposeCluster) -> None:
    compose.register("headers")
    compose.deploy("headers", "1", feature_sum)
    bad = {"grpc-timeout": "-1S"}

    with NativeClient(compose.query_address, "headers") as client:
        for number in range(8):
            url = f"http://{compose.query_address}/headers/predict"
            refusals = [
                requests.post(url, json={"input": [1.0]}, headers=bad, timeout=10),
                requests.get(f"http://{compose.address('envoy', 1338)}/admin/ping", headers=bad, timeout=10),
            ]
            assert [refused.status_code for refused in refusals] == [400, 400]
            assert client.ask([number, 0.5]).output == number + 0.5


def test_pages_of_the_origins_that_are_set_may_ask(compose: ComposeCluster) -> None:
    asked = {"origin": ORIGIN, "access-control-request-method": "POST"}

    answer = requests.options(f"http://{compose.query_address}/any/predict", headers=asked, timeout=10)

    assert answer.headers["access-control-allow-origin"] == ORIGIN


def test_a_container_that_is_frozen_says_so_in_its_health(compose: ComposeCluster) -> None:
    management = compose.container("management")
    check = management.attrs["Config"]["Healthcheck"]["Test"][1:]
    assert management.exec_run(check)[0] == 0

    os.kill(management.attrs["State"]["Pid"], signal.SIGSTOP)
    try:
        exit_code, said = management.exec_run(check)
    finally:
        os.kill(management.attrs["State"]["Pid"], signal.SIGCONT)
        answered(lambda: compose.admin("get_all_applications", verbose=False))

    assert exit_code == 1
    assert b"said nothing" in said


def test_prometheus_scrapes_query_services_and_envoy(compose: ComposeCluster) -> None:
    wait_until(lambda: set(compose.prometheus('up{job="query"}').values()) == {1.0})
    wait_until(lambda: set(compose.prometheus('up{job="envoy"}').values()) == {1.0})

    assert compose.prometheus('envoy_cluster_membership_healthy{envoy_cluster_name="query"}')


def test_the_configuration_survives_down_and_up(compose: ComposeCluster) -> None:
    compose.register("kept", default="-1")
    compose.register_version("kept", "7")

    compose.down()
    compose.up()

    with RestClient(compose.query_address, "kept") as client:
        assert client.ask([1.0]).output == -1
    assert compose.admin("get_linked_models", app_name="kept") == ["kept"]
    assert compose.admin("get_model", model_name="kept", model_version="7")["is_current_version"]


def test_the_configuration_is_backed_up_and_restored_as_the_documentation_says(compose: ComposeCluster) -> None:
    compose.register("saved", default="-1")
    backup = compose.run("exec", "-T", "redis", "sh", "-c", BACKUP)
    compose.admin("delete_app", name="saved")

    compose.run("stop", "query", "management", "redis")
    compose.run("run", "--rm", "-T", "redis", "sh", "-c", RESTORE, stdin=backup)
    compose.up()

    with RestClient(compose.query_address, "saved") as client:
        wait_until(lambda: client.ask([1.0]).output == -1)


def test_a_compose_cluster_is_found_gets_models_and_is_left_running(
    engine: docker.DockerClient, compose: ComposeCluster
) -> None:
    connection = ClipperConnection(DockerContainerManager(compose.project))
    connection.connect()
    python_deployer.create_endpoint(connection, "guest", "doubles", feature_sum, slo_micros=5_000_000, check=False)

    with RestClient(connection.get_query_addr(), "guest") as client:
        assert client.ask([1.0, 2.0]).output == 3.0
    services = [container.id for container in containers(engine, connection) if MODEL_LABEL not in container.labels]
    connection.stop_all()

    assert [container.id for container in containers(engine, connection)] == services
    assert "guest" in connection.get_all_apps()
    connection.stop_models(["guest"])
    remove_images(engine, f"{compose.project}-guest:")
