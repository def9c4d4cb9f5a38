"""`docker compose up --scale query=3`: Envoy follows the query services as they come, go and die."""

from collections.abc import Iterator

import docker
import pytest

from clipper_admin import __version__
from tests.fixtures.compose import ComposeCluster, is_healthy
from tests.fixtures.docker_engine import QUERY_IMAGE
from tests.fixtures.functions import telling
from tests.fixtures.load import Load, defaults, errors, ids_are_unique
from tests.fixtures.waiting import wait_until

SLO_S = 1.0


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


def test_one_of_three_query_services_is_killed_and_no_request_fails(scaled: ComposeCluster) -> None:
    scaled.register("killed")
    scaled.deploy("killed", "1", telling("1", pause_s=0.005))

    with Load(scaled.query_address, "killed") as load:
        scaled.containers("query")[0].kill()
        load.wait_for_more(400)

    assert_all_predicted(load)
    assert max(answer.latency_s for answer in load.answers) < SLO_S


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
        for container in old:
            container.stop()
            container.remove()
        load.wait_for_more(100)

    assert_all_predicted(load)
    assert scaled.containers("query") == [new]
    assert new.attrs["Config"]["Image"].endswith(other_release)
