"""What is killed in a compose cluster under a running client, and what that costs."""

import time

from tests.fixtures.clients import RestClient
from tests.fixtures.compose import ComposeCluster, is_healthy
from tests.fixtures.functions import telling
from tests.fixtures.load import Load, asked_between, defaults, errors, ids_are_unique
from tests.fixtures.waiting import wait_until


def assert_all_predicted(load: Load) -> None:
    assert errors(load.answers) == []
    assert defaults(load.answers) == []
    assert ids_are_unique(load.answers)


def hosts(load: Load, since_s: float = 0.0) -> set[str]:
    return {answer.output["host"] for answer in asked_between(load.answers, since_s)}


def test_a_killed_model_container_of_two_costs_no_answer(compose: ComposeCluster) -> None:
    compose.register("two")
    victim, other = compose.deploy("two", "1", telling("1", pause_s=0.005), replicas=2)

    with Load(compose.query_address, "two") as load:
        wait_until(lambda: len(hosts(load)) == 2)
        victim.kill()
        killed_s = time.monotonic()
        load.wait_for_more(200)

    assert_all_predicted(load)
    assert hosts(load, killed_s + 0.2) == {other.short_id}


def test_management_is_killed_and_predictions_go_on_and_replicas_keep_their_leases(compose: ComposeCluster) -> None:
    compose.register("unmanaged")
    [replica] = compose.deploy("unmanaged", "1", telling("1"))
    management = compose.container("management")

    with Load(compose.query_address, "unmanaged") as load:
        management.kill()
        load.wait_for_more(100)
        management.start()
        wait_until(lambda: is_healthy(management), within_s=30)
        assert compose.leases("unmanaged", "1") == 1
        compose.register("registered-afterwards", default="0")

    assert_all_predicted(load)
    assert hosts(load) == {replica.short_id}
    with RestClient(compose.query_address, "registered-afterwards") as client:
        assert client.ask([1.0]).output == 0


def test_redis_is_killed_and_predictions_go_on_and_nothing_is_forgotten(compose: ComposeCluster) -> None:
    compose.register("unstored")
    compose.deploy("unstored", "1", telling("1"))
    registered = sorted(compose.admin("get_all_applications", verbose=False))
    redis = compose.container("redis")

    with Load(compose.query_address, "unstored") as load:
        redis.kill()
        load.wait_for_more(100)
        redis.start()
        wait_until(lambda: is_healthy(redis), within_s=30)
        assert sorted(compose.admin("get_all_applications", verbose=False)) == registered
        compose.deploy("unstored", "2", telling("2"))
        wait_until(lambda: {answer.output["says"] for answer in load.answers[-20:]} == {"2"})

    assert_all_predicted(load)


def test_a_service_that_ends_is_started_again(compose: ComposeCluster) -> None:
    management = compose.container("management")
    ends = management.attrs["RestartCount"]

    management.exec_run(["sh", "-c", "kill -TERM 1"])

    def is_started_again() -> bool:
        return is_healthy(management) and bool(management.attrs["RestartCount"] > ends)

    wait_until(is_started_again, within_s=30)
