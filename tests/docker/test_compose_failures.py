"""What is killed in a compose cluster under a running client, and what that costs."""

import json
import time

from tests.fixtures.administration import answered
from tests.fixtures.clients import Answer, RestClient
from tests.fixtures.compose import ComposeCluster, is_healthy
from tests.fixtures.docker_clusters import crash, killed, paused
from tests.fixtures.functions import telling
from tests.fixtures.load import Load, asked_between, defaults, errors, ids_are_unique
from tests.fixtures.stalls import StallMeter
from tests.fixtures.waiting import wait_until

SLO_S = 3.0
# From the start of a query service to the first prediction through Envoy, whatever else runs.
BACK_WITHIN_S = 30.0
# Envoy tries again, sixty times, before it gives up on a query service; an address that answers nothing costs most.
NOBODY_WAITS_LONGER_S = 25.0
REFUSED_WITHIN_S = 60.0
# One for each client of a load, whose every refusal takes as long as that.
REFUSALS = 4


def assert_all_predicted(load: Load) -> None:
    assert errors(load.answers) == []
    assert defaults(load.answers) == []
    assert ids_are_unique(load.answers)


def watched(compose: ComposeCluster) -> StallMeter:
    """Those between a client and its answer."""
    return StallMeter(lambda: compose.pids("envoy", "query"))


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


def test_a_model_container_of_two_that_freezes_is_passed_by_until_it_goes_on(compose: ComposeCluster) -> None:
    compose.register("freezing", slo_s=SLO_S)
    victim, other = compose.deploy("freezing", "1", telling("1", pause_s=0.005), replicas=2)

    with watched(compose) as meter, Load(compose.query_address, "freezing") as load:
        wait_until(lambda: len(hosts(load)) == 2)
        with paused(victim) as paused_s:
            load.wait_for_more(asked_after_s=paused_s + SLO_S)
            assert hosts(load, paused_s + SLO_S) == {other.short_id}
        gone_on_s = time.monotonic()
        wait_until(lambda: len(hosts(load, gone_on_s)) == 2)

    assert errors(load.answers) == []
    assert defaults(load.answers) == []
    assert meter.late(load.answers, SLO_S) == []


def is_refusal(answer: Answer) -> bool:
    """Whether a client was told in the words of its protocol that nobody serves."""
    if answer.error.startswith("UNAVAILABLE "):
        return True
    status, kind, text = answer.error.split(" ", 2)
    return (status, kind, json.loads(text)["code"]) == ("503", "application/json", 14)


def test_the_only_query_service_crashes_and_requests_wait_until_it_is_started_again(compose: ComposeCluster) -> None:
    compose.register("only")
    compose.deploy("only", "1", telling("1"))

    with Load(compose.query_address, "only") as load:
        crash(compose.container("query"))
        load.wait_for_more(100)

    assert_all_predicted(load)
    assert max(answer.latency_s for answer in load.answers) < BACK_WITHIN_S


def test_while_the_only_query_service_is_away_clients_are_refused_and_soon_after_it_is_back_they_are_served(
    compose: ComposeCluster,
) -> None:
    compose.register("away")
    compose.deploy("away", "1", telling("1"))
    query = compose.container("query")

    with watched(compose) as meter, Load(compose.query_address, "away") as load:
        with killed(query):
            wait_until(lambda: len(errors(load.answers)) >= REFUSALS, REFUSED_WITHIN_S)
        started_s = time.monotonic()
        wait_until(lambda: load.answers[-1].is_prediction)
        back_s = time.monotonic()
        load.wait_for_more(200)

    assert [answer for answer in errors(load.answers) if not is_refusal(answer)] == []
    assert meter.late(load.answers, NOBODY_WAITS_LONGER_S) == []
    assert back_s - started_s < BACK_WITHIN_S
    assert [answer for answer in asked_between(load.answers, back_s) if not answer.is_prediction] == []


def test_management_is_killed_and_predictions_go_on_and_replicas_keep_their_leases(compose: ComposeCluster) -> None:
    compose.register("unmanaged")
    [replica] = compose.deploy("unmanaged", "1", telling("1"))
    management = compose.container("management")

    with Load(compose.query_address, "unmanaged") as load:
        with killed(management):
            load.wait_for_more(100)
        wait_until(lambda: is_healthy(management))
        assert answered(lambda: compose.leases("unmanaged", "1")) == 1
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
        with killed(redis):
            load.wait_for_more(100)
        wait_until(lambda: is_healthy(redis))
        assert sorted(answered(lambda: compose.admin("get_all_applications", verbose=False))) == registered
        compose.deploy("unstored", "2", telling("2"))
        wait_until(lambda: {answer.output["says"] for answer in load.answers[-20:]} == {"2"})

    assert_all_predicted(load)


def test_a_service_that_ends_is_started_again(compose: ComposeCluster) -> None:
    management = compose.container("management")
    ends = management.attrs["RestartCount"]

    management.exec_run(["sh", "-c", "kill -TERM 1"])

    def is_started_again() -> bool:
        return is_healthy(management) and bool(management.attrs["RestartCount"] > ends)

    wait_until(is_started_again)
    answered(lambda: compose.admin("get_all_applications", verbose=False))
