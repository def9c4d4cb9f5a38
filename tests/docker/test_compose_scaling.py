"""`docker compose up --scale query=3`: Envoy follows the query services as they come, go and die."""

import json
import subprocess
import uuid
from collections import Counter
from collections.abc import Iterator

import docker
import pytest
import requests
from clipper.v1 import query_service_pb2

from clipper_admin import __version__
from tests.fixtures.clients import PATIENCE_S, NativeClient, doubles
from tests.fixtures.compose import ComposeCluster, is_healthy
from tests.fixtures.docker_clusters import paused
from tests.fixtures.docker_engine import QUERY_IMAGE
from tests.fixtures.functions import Function, telling
from tests.fixtures.load import Load, defaults, errors, ids_are_unique
from tests.fixtures.stalls import StallMeter
from tests.fixtures.waiting import wait_until

# What was asked of who is killed is asked of another at once.
ASKED_AGAIN_WITHIN_S = 1.0
# A sign of life is missed within a second and a quarter; what was asked of who is frozen is asked of another then.
NOBODY_WAITS_LONGER_S = 1.5


@pytest.fixture(scope="module")
def scaled(compose: ComposeCluster, other_release: str) -> Iterator[ComposeCluster]:
    """The cluster with three query services, of which the last test leaves one."""
    compose.up(query_services=3)
    yield compose
    compose.version = __version__


@pytest.fixture(scope="module")
def other_release(engine: docker.DockerClient) -> Iterator[str]:
    """A version of which there is an image of the query service."""
    version = f"{__version__}-next"
    engine.images.get(QUERY_IMAGE).tag("clipper/query", version)
    yield version
    engine.images.remove(f"clipper/query:{version}")


def saying(output: str) -> Function:
    """A model that always gives the same output."""
    return lambda inputs: [output] * len(inputs)


def chooses(service: NativeClient) -> dict[str, float]:
    """How much a query service relies on each model when it chooses for the application."""
    request = doubles(service.application, [[uuid.uuid4().int % 1_000_000, 0.0]])
    request.explain = True
    [prediction] = service.stub.Predict(request, timeout=PATIENCE_S).predictions
    return {arm.model: arm.weight for arm in prediction.selection.arms}


def update(query_address: str, query_id: int) -> str:
    """Tells on a connection of its own that the output should have been 1; returns what became of that."""
    url = f"http://{query_address}/choosing/update"
    return str(requests.post(url, json={"query_id": query_id, "label": 1}, timeout=PATIENCE_S).json()["feedback"])


def counter(service: NativeClient, name: str) -> int:
    """What a query service has counted."""
    metrics = json.loads(service.stub.GetMetrics(query_service_pb2.GetMetricsRequest()).body.data)
    return sum(int(named[name]["count"]) for named in metrics["counters"] if name in named)


def watched(cluster: ComposeCluster) -> StallMeter:
    """Those between a client and its answer."""
    return StallMeter(lambda: cluster.pids("envoy", "query"))


def assert_all_predicted(load: Load) -> None:
    assert errors(load.answers) == []
    assert defaults(load.answers) == []
    assert ids_are_unique(load.answers)


def test_requests_reach_all_of_three_query_services_and_each_knows_what_was_registered(scaled: ComposeCluster) -> None:
    scaled.register("spread")
    scaled.deploy("spread", "1", telling("1"))

    def served() -> list[float]:
        counts = scaled.prometheus('clipper_predictions_total{application="spread"}')
        return [count for count in counts.values() if count >= 10]

    with Load(scaled.query_address, "spread") as load:
        wait_until(lambda: len(served()) == 3, within_s=30)

    assert_all_predicted(load)


def test_a_new_version_takes_over_on_all_of_them_without_a_failed_or_default_answer(scaled: ComposeCluster) -> None:
    scaled.register("rolled")
    scaled.deploy("rolled", "1", telling("1"))

    with Load(scaled.query_address, "rolled") as load:
        scaled.deploy("rolled", "2", telling("2"))
        wait_until(lambda: {answer.output["says"] for answer in load.answers[-60:]} == {"2"})

    assert_all_predicted(load)


def test_what_one_query_service_learns_all_choose_by_and_each_feedback_counts_once(scaled: ComposeCluster) -> None:
    scaled.register("choosing", selection_policy="epsilon_greedy", policy_parameters={"epsilon": 0.0})
    scaled.deploy("right", "1", saying("1"), application="choosing")
    scaled.deploy("wrong", "1", saying("0"), application="choosing")
    services = [NativeClient(address, "choosing") for address in scaled.addresses("query", 7000)]
    wait_until(lambda: all(chooses(service) == {"right": 0.5, "wrong": 0.5} for service in services))

    # All of these are the first one's, and whoever Envoy sends the feedback to learns from it.
    made = [services[0].ask([number, 1.0]) for number in range(60)]
    told = [update(scaled.query_address, answer.query_id) for answer in made]
    told_again = [update(scaled.query_address, answer.query_id) for answer in made]

    assert told == ["learned"] * len(made)
    assert told_again == ["already learned"] * len(made)
    asked = Counter("right" if answer.output == 1 else "wrong" for answer in made)
    assert set(asked) == {"right", "wrong"}
    state = scaled.admin("get_selection_state", app_name="choosing", context="")["state"]
    assert state == {
        "count:right": asked["right"],
        "reward:right": asked["right"],
        "count:wrong": asked["wrong"],
        "reward:wrong": 0,
    }
    learned = [counter(service, "app:choosing:num_feedbacks:learned") for service in services]
    assert min(learned) > 0
    assert sum(learned) == len(made)
    wait_until(lambda: all(chooses(service) == {"right": 1.0, "wrong": 0.0} for service in services))
    assert {service.ask([number, 2.0]).output for service in services for number in range(10)} == {1}
    for service in services:
        service.close()


def test_one_of_three_query_services_freezes_and_nobody_waits_for_it_for_long(scaled: ComposeCluster) -> None:
    scaled.register("standing-still")
    scaled.deploy("standing-still", "1", telling("1", pause_s=0.005))

    with watched(scaled) as meter, Load(scaled.query_address, "standing-still") as load:
        with paused(scaled.containers("query")[0]) as paused_s:
            load.wait_for_more(200, asked_after_s=paused_s + NOBODY_WAITS_LONGER_S)
        load.wait_for_more(100)

    assert_all_predicted(load)
    assert meter.late(load.answers, NOBODY_WAITS_LONGER_S) == []


def test_one_of_three_query_services_is_killed_and_no_request_fails(scaled: ComposeCluster) -> None:
    scaled.register("killed")
    scaled.deploy("killed", "1", telling("1", pause_s=0.005))

    with watched(scaled) as meter, Load(scaled.query_address, "killed") as load:
        scaled.containers("query")[0].kill()
        load.wait_for_more(400)

    assert_all_predicted(load)
    assert meter.late(load.answers, ASKED_AGAIN_WITHIN_S) == []


def test_another_release_takes_over_without_a_failed_request(
    scaled: ComposeCluster, other_release: str, engine: docker.DockerClient
) -> None:
    scaled.register("upgraded")
    scaled.deploy("upgraded", "1", telling("1", pause_s=0.005))
    old = scaled.containers("query")

    with Load(scaled.query_address, "upgraded") as load:
        scaled.version = other_release
        scaled.run("up", "--detach", "--no-build", "--no-deps", "--no-recreate", "--scale", "query=4", "query")
        [new] = [container for container in scaled.containers("query") if container not in old]
        wait_until(lambda: is_healthy(new), within_s=30)
        for command in ("stop", "rm"):
            subprocess.run(("docker", command, *(str(container.id) for container in old)), check=True)
        load.wait_for_more(100)

    assert_all_predicted(load)
    assert scaled.containers("query") == [new]
    assert new.attrs["Config"]["Image"].endswith(other_release)
