"""What freezes under a running client though it stays connected, and goes on: stopped processes, models that hang."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from clipper_admin import ClipperConnection
from clipper_admin.deployers import python as python_deployer
from clipper_admin.hosts.process.host import ProcessHost
from tests.e2e.conftest import free_ports_manager
from tests.fixtures.clients import RestClient
from tests.fixtures.load import Load, answered_between, asked_between, defaults, errors
from tests.fixtures.processes import processes, send, wait_for_another
from tests.fixtures.stalls import StallMeter
from tests.fixtures.waiting import wait_until

pytestmark = pytest.mark.alone

DEFAULT = "no prediction"
SLO_S = 0.5
ROUTED_ROUND_S = SLO_S + 1.0
OVERDUE_S = 0.02
POISON = -13.0
MODEL_HANGS = 5


@pytest.fixture(scope="module")
def cluster(clipper_home: object) -> Iterator[ClipperConnection]:
    """A cluster whose models may take a second; each test leaves it mended."""
    connection = ClipperConnection(free_ports_manager("frozen"))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("CLIPPER_PREDICT_TIMEOUT_S", "1")
        try:
            connection.start_clipper()
            yield connection
        finally:
            connection.stop_all(graceful=False)


def hanging(poison: float) -> Callable[[Sequence[Any]], list[str]]:
    """A model that tells what it got and who it is, and never returns from a batch with the poison."""

    def tell(inputs: Sequence[Any]) -> list[str]:
        while any(row[0] == poison for row in inputs):
            time.sleep(0.01)
        return [json.dumps({"pid": os.getpid(), "input": [float(number) for number in row]}) for row in inputs]

    return tell


def endpoint(connection: ClipperConnection, name: str, *, replicas: int = 1) -> None:
    python_deployer.create_endpoint(
        connection,
        name,
        "doubles",
        hanging(POISON),
        default_output=DEFAULT,
        slo_micros=round(SLO_S * 1e6),
        num_replicas=replicas,
        check=False,
    )


def replica_names(connection: ClipperConnection, model: str) -> list[str]:
    return [name for name in processes(connection) if name.startswith(f"{model}_1-")]


def last_exit_code(connection: ClipperConnection, name: str) -> int | None:
    local = ProcessHost(connection.cm.cluster_identifier, Path(os.environ["CLIPPER_HOME"]))
    return next(status.exit_code for status in local.processes() if status.name == name)


def is_answered_by(load: Load, pid: int, start_s: float) -> bool:
    return any(answer.is_prediction and answer.output["pid"] == pid for answer in asked_between(load.answers, start_s))


def test_a_stopped_replica_of_two_is_routed_round_and_back_when_it_goes_on(cluster: ClipperConnection) -> None:
    endpoint(cluster, "two", replicas=2)
    victim = replica_names(cluster, "two")[0]

    with Load(cluster.get_query_addr(), "two") as load:
        pid, stopped_s = send(cluster, victim, signal.SIGSTOP)
        load.wait_for_more(100, asked_after_s=stopped_s + ROUTED_ROUND_S)
        _, continued_s = send(cluster, victim, signal.SIGCONT)
        wait_until(lambda: is_answered_by(load, pid, continued_s))

    assert errors(load.answers) == []
    assert defaults(asked_between(load.answers, stopped_s + ROUTED_ROUND_S)) == []
    meanwhile = answered_between(load.answers, stopped_s + ROUTED_ROUND_S, continued_s)
    assert pid not in {answer.output["pid"] for answer in meanwhile}


def test_while_its_only_replica_is_stopped_an_application_answers_defaults_at_once_and_says_why(
    cluster: ClipperConnection,
) -> None:
    endpoint(cluster, "one")
    [victim] = replica_names(cluster, "one")

    with StallMeter(cluster) as meter, Load(cluster.get_query_addr(), "one") as load:
        pid, stopped_s = send(cluster, victim, signal.SIGSTOP)
        load.wait_for_more(100, asked_after_s=stopped_s + ROUTED_ROUND_S)
        _, continued_s = send(cluster, victim, signal.SIGCONT)
        wait_until(lambda: is_answered_by(load, pid, continued_s))
        recovered_s = time.monotonic()
        load.wait_for_more(100)

    assert errors(load.answers) == []
    # The first question came a moment after it was stopped.
    frozen = answered_between(load.answers, stopped_s + ROUTED_ROUND_S + 0.1, continued_s)
    assert frozen
    assert all(answer.is_default and "frozen" in answer.explanation for answer in frozen)
    assert meter.late(frozen, OVERDUE_S) == []
    assert meter.late(load.answers, SLO_S + OVERDUE_S) == []
    assert defaults(asked_between(load.answers, recovered_s)) == []


def test_a_model_that_hangs_is_started_again_and_answers(cluster: ClipperConnection) -> None:
    endpoint(cluster, "hung")
    [victim] = replica_names(cluster, "hung")
    identity = processes(cluster)[victim]
    assert identity is not None

    with RestClient(cluster.get_query_addr(), "hung") as client:
        assert client.ask([1.0, 2.0]).output["pid"] == identity.pid
        poisoned = client.ask([POISON, 2.0])
        wait_for_another(cluster, victim, identity.pid)
        assert last_exit_code(cluster, victim) == MODEL_HANGS
        wait_until(lambda: client.ask([2.0, time.monotonic()]).is_prediction)

    assert poisoned.is_default
    assert poisoned.latency_s < SLO_S + 0.2
    # The lease of the one that hung is gone with it.
    wait_until(lambda: len([each for each in cluster.get_all_model_replicas() if each.startswith("hung:")]) == 1)
