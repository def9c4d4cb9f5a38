"""What breaks under a running client, and mends itself: replicas, query services, management, Redis."""

import json
import signal
import time
from collections.abc import Iterable, Iterator

import pytest

from clipper_admin import ClipperConnection, ClipperException
from clipper_admin.deployers import python as python_deployer
from tests.e2e.conftest import free_ports_manager
from tests.fixtures.administration import answered
from tests.fixtures.clients import Answer, RestClient
from tests.fixtures.functions import telling
from tests.fixtures.load import Load, asked_between, defaults, errors, ids_are_unique
from tests.fixtures.processes import processes, send, supervision_suspended, wait_for_another
from tests.fixtures.stalls import StallMeter
from tests.fixtures.waiting import wait_until

DEFAULT = "no prediction"
SLO_S = 0.2
# Generous, where what a fault costs is to be seen and not what a busy machine does.
PATIENT_SLO_S = 5.0
OVERDUE_S = 0.02
# A lease that is not renewed is swept within six and a quarter seconds, also after a restart of management.
SWEPT_WITHIN_S = 7.0


@pytest.fixture(scope="module")
def alone(clipper_home: object) -> Iterator[ClipperConnection]:
    """A cluster with one query service; each test leaves it mended."""
    yield from started("alone", query_services=1)


@pytest.fixture(scope="module")
def pair(clipper_home: object) -> Iterator[ClipperConnection]:
    """A cluster with two query services; each test leaves it mended."""
    yield from started("pair", query_services=2)


def started(name: str, query_services: int) -> Iterator[ClipperConnection]:
    connection = ClipperConnection(free_ports_manager(name))
    try:
        connection.start_clipper(num_frontend_replicas=query_services)
        yield connection
    finally:
        connection.stop_all(graceful=False)


def endpoint(
    connection: ClipperConnection, name: str, *, replicas: int = 1, slo_s: float = SLO_S, pause_s: float = 0.0
) -> None:
    """An application and a model of the same name."""
    python_deployer.create_endpoint(
        connection,
        name,
        "doubles",
        telling("1", pause_s),
        default_output=DEFAULT,
        slo_micros=round(slo_s * 1e6),
        num_replicas=replicas,
        check=False,
    )


def deploy_again(connection: ClipperConnection, name: str) -> None:
    """A second version of an endpoint's model, unless it is there already."""
    python_deployer.deploy_python_closure(connection, name, 2, "doubles", telling("2"), exist_ok=True, check=False)


def load_on(connection: ClipperConnection, application: str) -> Load:
    return Load(connection.get_query_addr(), application)


def assert_all_predicted(answers: list[Answer]) -> None:
    assert errors(answers) == []
    assert defaults(answers) == []
    assert ids_are_unique(answers)


def pids(answers: Iterable[Answer]) -> set[int]:
    return {answer.output["pid"] for answer in answers if answer.is_prediction}


def replica_names(connection: ClipperConnection, model: str) -> list[str]:
    return [name for name in processes(connection) if name.startswith(f"{model}_1-")]


def wait_until_predicted(load: Load) -> None:
    """Waits for a prediction to what is asked from now on."""
    start_s = time.monotonic()
    wait_until(lambda: any(answer.is_prediction for answer in asked_between(load.answers, start_s)))


def is_clean_unavailability(error: str) -> bool:
    """Whether a client was told by the means of its protocol that it may try again."""
    status, _, rest = error.partition(" ")
    if status == "UNAVAILABLE":
        return True
    content_type, _, body = rest.partition(" ")
    return (status, content_type, json.loads(body)["code"]) == ("503", "application/json", 14)


@pytest.mark.alone
def test_a_killed_replica_of_two_costs_no_answer_and_is_out_at_once(alone: ClipperConnection) -> None:
    endpoint(alone, "two", replicas=2, slo_s=1.0, pause_s=0.005)
    victim = replica_names(alone, "two")[0]

    with load_on(alone, "two") as load:
        pid, killed_s = send(alone, victim)
        load.wait_for_more(200)
        wait_for_another(alone, victim, pid)
        wait_until(lambda: len(pids(asked_between(load.answers, killed_s + 0.1))) == 2)

    assert_all_predicted(load.answers)
    assert pid in pids(load.answers)
    affected = [answer for answer in load.answers if answer.received_s > killed_s and answer.sent_s < killed_s + 0.1]
    assert all(answer.received_s < max(answer.sent_s, killed_s) + 0.1 for answer in affected)
    assert pid not in pids(answer for answer in load.answers if answer.received_s > killed_s + 0.1)


@pytest.mark.alone
def test_without_its_only_replica_an_application_answers_defaults_in_time_until_it_is_back(
    alone: ClipperConnection,
) -> None:
    endpoint(alone, "one", pause_s=0.005)
    [victim] = replica_names(alone, "one")

    with StallMeter(alone) as meter, load_on(alone, "one") as load:
        pid, killed_s = send(alone, victim)
        wait_until(lambda: bool(defaults(load.answers)))
        wait_for_another(alone, victim, pid)
        wait_until_predicted(load)
        recovered_s = time.monotonic()
        load.wait_for_more()

    assert errors(load.answers) == []
    assert ids_are_unique(load.answers)
    assert {answer.explanation for answer in defaults(load.answers)} <= {
        "No connected models found for query",
        "The replica that was computing the prediction died",
    }
    assert {answer.output for answer in defaults(load.answers)} == {DEFAULT}
    assert meter.late(load.answers, SLO_S + OVERDUE_S) == []
    assert defaults(asked_between(load.answers, 0, killed_s - SLO_S)) == []
    assert defaults(asked_between(load.answers, recovered_s)) == []


def test_a_killed_query_service_is_bridged_or_refused_cleanly_until_it_is_back(alone: ClipperConnection) -> None:
    endpoint(alone, "bridged", slo_s=PATIENT_SLO_S)
    registered = (alone.get_all_apps(verbose=True), alone.get_all_models(verbose=True))

    with load_on(alone, "bridged") as load:
        pid, _ = send(alone, "query-0")
        wait_for_another(alone, "query-0", pid)
        wait_until_predicted(load)
        mended_s = time.monotonic()
        load.wait_for_more(100)

    assert all(is_clean_unavailability(answer.error) for answer in errors(load.answers))
    assert_all_predicted(asked_between(load.answers, mended_s))
    assert defaults(load.answers) == []
    assert ids_are_unique(load.answers)
    assert (alone.get_all_apps(verbose=True), alone.get_all_models(verbose=True)) == registered


def test_while_there_is_no_query_service_requests_are_refused_as_unavailable(alone: ClipperConnection) -> None:
    endpoint(alone, "refused", slo_s=PATIENT_SLO_S)

    with load_on(alone, "refused") as load:
        with supervision_suspended(alone):
            send(alone, "query-0")
            wait_until(lambda: len(errors(load.answers)) >= 4)
        wait_until_predicted(load)

    assert {answer.error.partition(" ")[0] for answer in errors(load.answers)} == {"503", "UNAVAILABLE"}
    assert all(is_clean_unavailability(answer.error) for answer in errors(load.answers))


def test_one_of_two_query_services_is_killed_and_no_request_fails(pair: ClipperConnection) -> None:
    endpoint(pair, "killed", slo_s=PATIENT_SLO_S, pause_s=0.005)

    with load_on(pair, "killed") as load:
        pid, _ = send(pair, "query-0")
        load.wait_for_more(200)
        wait_for_another(pair, "query-0", pid)
        load.wait_for_more(200)

    assert_all_predicted(load.answers)


def test_one_of_two_query_services_is_terminated_and_no_request_fails(pair: ClipperConnection) -> None:
    endpoint(pair, "terminated", slo_s=PATIENT_SLO_S, pause_s=0.005)

    with load_on(pair, "terminated") as load:
        pid, _ = send(pair, "query-1", signal.SIGTERM)
        wait_for_another(pair, "query-1", pid)
        load.wait_for_more(200)

    assert_all_predicted(load.answers)


def test_predictions_do_not_need_management_and_replicas_keep_their_leases_over_its_death(
    alone: ClipperConnection,
) -> None:
    endpoint(alone, "unmanaged", replicas=2, slo_s=PATIENT_SLO_S)
    replicas = alone.get_all_model_replicas()

    with load_on(alone, "unmanaged") as load:
        with supervision_suspended(alone):
            pid, _ = send(alone, "management")
            load.wait_for_more(100)
        wait_for_another(alone, "management", pid)
        restarted_s = time.monotonic()
        answered(lambda: alone.register_application("registered-afterwards", "doubles", "0", 100_000, exist_ok=True))
        assert alone.get_all_model_replicas() == replicas
        wait_until(lambda: time.monotonic() > restarted_s + SWEPT_WITHIN_S)
        assert alone.get_all_model_replicas() == replicas

    assert_all_predicted(load.answers)
    with RestClient(alone.get_query_addr(), "registered-afterwards") as client:
        assert client.ask([1.0]).output == 0


def test_predictions_do_not_need_redis_and_changes_are_followed_when_it_is_back(alone: ClipperConnection) -> None:
    endpoint(alone, "unstored", slo_s=PATIENT_SLO_S)
    registered = (alone.get_all_apps(verbose=True), alone.get_all_models(verbose=True))

    with load_on(alone, "unstored") as load:
        with supervision_suspended(alone):
            pid, _ = send(alone, "redis")
            load.wait_for_more(100)
            with pytest.raises(ClipperException, match=r"error status code: 503 and message: .*STORE_UNAVAILABLE"):
                alone.register_application("never-registered", "doubles", "0", 100_000)
        wait_for_another(alone, "redis", pid)
        load.wait_for_more()
        assert answered(lambda: (alone.get_all_apps(verbose=True), alone.get_all_models(verbose=True))) == registered
        answered(lambda: deploy_again(alone, "unstored"))
        wait_until(lambda: load.answers[-1].output["says"] == "2")
        alone.register_application("new-again", "doubles", "0", 100_000)

    assert_all_predicted(load.answers)
    with RestClient(alone.get_query_addr(), "new-again") as client:
        wait_until(lambda: client.ask([1.0]).output == 0)
