"""A supervisor that is killed is replaced by the next command, which disturbs nothing; one that hangs is named."""

import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from clipper_admin import ClipperConnection, ClipperException
from clipper_admin.deployers import python as python_deployer
from clipper_admin.hosts.identity import ProcessIdentity
from clipper_admin.hosts.process import control
from tests.e2e.conftest import NewCluster, free_ports_manager
from tests.fixtures.functions import telling
from tests.fixtures.load import Load, defaults, errors
from tests.fixtures.local_clusters import kill_supervisor, local, prediction, with_sums, written_state
from tests.fixtures.processes import supervision_suspended
from tests.fixtures.waiting import wait_until

WITHIN_S = 30.0
COMMANDS: dict[str, Callable[[ClipperConnection], object]] = {
    "connect": lambda connection: connection.connect(),
    "start_clipper": lambda connection: connection.start_clipper(),
    "get_query_addr": lambda connection: connection.get_query_addr(),
    "get_all_apps": lambda connection: connection.get_all_apps(),
    "get_num_replicas": lambda connection: connection.get_num_replicas("sums"),
    "set_num_replicas": lambda connection: connection.set_num_replicas("sums", 1),
    "get_clipper_logs": lambda connection: connection.get_clipper_logs(
        str(local(connection).directory.root / "copies")
    ),
}


@pytest.fixture(scope="module")
def cluster(clipper_home: Path) -> Iterator[ClipperConnection]:
    """A cluster with "sums"; a test leaves it running with a supervisor."""
    connection = ClipperConnection(free_ports_manager("supervised"))
    try:
        yield with_sums(connection)
    finally:
        connection.stop_all(graceful=False)


def running(connection: ClipperConnection) -> dict[str, ProcessIdentity | None]:
    return {record.spec.name: record.identity for record in written_state(connection).processes}


def supervisors(connection: ClipperConnection) -> list[int]:
    """The pids of all supervisors of the cluster that run."""
    root = str(local(connection).directory.root).encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"clipper_admin.hosts.process" in command and root in command:
            found.append(int(process.name))
    return found


@pytest.mark.essential
@pytest.mark.parametrize("command", COMMANDS)
def test_the_next_command_replaces_a_killed_supervisor_and_touches_nothing(
    cluster: ClipperConnection, command: str
) -> None:
    before = running(cluster)
    killed = kill_supervisor(cluster)

    COMMANDS[command](cluster)

    state = written_state(cluster)
    assert state.supervisor != killed
    assert supervisors(cluster) == [state.supervisor.pid if state.supervisor else None]
    assert running(cluster) == before


@pytest.mark.essential
def test_queries_are_answered_all_the_time_and_what_died_meanwhile_or_dies_later_is_started_again(
    new_cluster: NewCluster,
) -> None:
    own = new_cluster("adopted")
    own.start_clipper(num_frontend_replicas=2)
    python_deployer.create_endpoint(
        own, "told", "doubles", telling("1"), default_output="none", slo_micros=5_000_000, num_replicas=2, check=False
    )
    before = running(own)
    with Load(own.get_query_addr(), "told") as load:
        kill_supervisor(own)
        kill(before["told_1-0"])
        load.wait_for_more()
        own.connect()
        wait_until(lambda: answers_again(own, "told_1-0", before, load))
        # One query service has found it; so has the other before these are answered.
        load.wait_for_more()
        kill(before["told_1-1"])
        kill(before["management"])
        wait_until(lambda: answers_again(own, "told_1-1", before, load) and is_another(own, "management", before))
        load.wait_for_more()

    assert errors(load.answers) == []
    assert defaults(load.answers) == []
    untouched = ("redis", "query-0", "query-1", "envoy")
    assert {name: running(own)[name] for name in untouched} == {name: before[name] for name in untouched}

    alive = written_state(own).alive()
    own.stop_all()
    assert not any(process.is_alive() for process in alive)


def kill(process: ProcessIdentity | None) -> None:
    assert process is not None
    process.send(signal.SIGKILL)


def is_another(connection: ClipperConnection, name: str, before: dict[str, ProcessIdentity | None]) -> bool:
    return running(connection)[name] not in (None, before[name])


def answers_again(
    connection: ClipperConnection, name: str, before: dict[str, ProcessIdentity | None], load: Load
) -> bool:
    replica = running(connection)[name]
    return replica not in (None, before[name]) and replica.pid in pids(load)


def pids(load: Load) -> set[int]:
    """The processes that have answered."""
    return {answer.output["pid"] for answer in load.answers if answer.is_prediction}


def test_of_commands_at_the_same_moment_one_replaces_it(cluster: ClipperConnection) -> None:
    before = running(cluster)
    kill_supervisor(cluster)

    with ThreadPoolExecutor(6, thread_name_prefix="command") as commands:
        counts = list(commands.map(lambda _: cluster.get_num_replicas("sums"), range(6)))

    assert counts == [1] * 6
    assert len(supervisors(cluster)) == 1
    assert running(cluster) == before


def test_a_deployment_survives_the_supervisor(cluster: ClipperConnection) -> None:
    def deploy() -> None:
        python_deployer.deploy_python_closure(cluster, "late", 1, "doubles", telling("1"), num_replicas=2, check=False)

    with ThreadPoolExecutor(1, thread_name_prefix="deployment") as commands:
        deployment = commands.submit(deploy)
        wait_until(lambda: {"late_1-1", "late_1-2"} <= running(cluster).keys())
        kill_supervisor(cluster)
        deployment.result()

    assert cluster.get_num_replicas("late") == 2
    assert len([spec for spec in written_state(cluster).replicas() if spec.model_id == "late:1"]) == 2
    cluster.stop_models(["late"])


def test_a_supervisor_is_replaced_as_often_as_it_is_killed(cluster: ClipperConnection) -> None:
    before = running(cluster)
    for _ in range(3):
        kill_supervisor(cluster)
        assert cluster.get_num_replicas("sums") == 1

    assert running(cluster) == before
    assert prediction(cluster, [1.0, 2.0])["output"] == 3.0


def test_a_stopped_supervisor_is_named_with_what_to_do_and_not_replaced(
    cluster: ClipperConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "_REPLY_TIMEOUT_S", 1.0)
    supervisor = written_state(cluster).supervisor
    assert supervisor is not None
    with supervision_suspended(cluster):
        began = time.monotonic()
        with pytest.raises(ClipperException) as refused:
            cluster.set_num_replicas("sums", 2)
        assert time.monotonic() - began < WITHIN_S
        ClipperConnection(free_ports_manager("supervised")).start_clipper()
        assert supervisors(cluster) == [supervisor.pid]

    pid = supervisor.pid
    assert f"process {pid} is stopped or hangs. `kill -CONT {pid}` wakes one that was stopped" in str(refused.value)
    assert cluster.get_num_replicas("sums") == 1


def test_a_cluster_with_a_stopped_supervisor_can_be_stopped(
    new_cluster: NewCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "_REPLY_TIMEOUT_S", 1.0)
    own = with_sums(new_cluster("suspended"))
    alive = written_state(own).alive()
    alive[0].send(signal.SIGSTOP)

    own.stop_all()

    assert not any(process.is_alive() for process in alive)
    own.start_clipper()
    assert own.get_all_apps() == []


def test_a_supervisor_that_is_killed_while_it_stops_the_cluster_is_replaced_for_the_rest(
    new_cluster: NewCluster,
) -> None:
    own = with_sums(new_cluster("half-stopped"))
    alive, processes = written_state(own).alive(), running(own)
    envoy, redis = processes["envoy"], processes["redis"]
    assert envoy is not None
    assert redis is not None

    # Redis ends last, and stopped like this not before it is allowed to.
    redis.send(signal.SIGSTOP)
    with ThreadPoolExecutor(1, thread_name_prefix="command") as commands:
        stopping = commands.submit(own.stop_all)
        assert envoy.wait_until_gone(WITHIN_S)
        kill_supervisor(own)
        redis.send(signal.SIGCONT)
        stopping.result()

    assert not any(process.is_alive() for process in alive)
    assert supervisors(own) == []
    assert {entry.name for entry in local(own).directory.root.iterdir()} == {"lock", "logs"}


def test_stopping_after_the_supervisor_was_killed_lets_services_finish_and_leaves_no_process(
    new_cluster: NewCluster,
) -> None:
    own = with_sums(new_cluster("orphaned"))
    alive = written_state(own).alive()
    kill_supervisor(own)

    own.stop_all()

    assert not any(process.is_alive() for process in alive)
    directory = local(own).directory
    assert {entry.name for entry in directory.root.iterdir()} == {"lock", "logs"}
    for service, last_word in (("query-0", "drained"), ("redis", "Redis is now ready to exit")):
        assert last_word in directory.log_file(service).read_text()
