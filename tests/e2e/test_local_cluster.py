"""A cluster of local processes as its user sees it: started, found again, broken, repaired, stopped."""

import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from clipper_admin import ClipperConnection, ClipperException, ProcessContainerManager
from clipper_admin.deployers import python as python_deployer
from tests.e2e.conftest import NewCluster, free_ports_manager
from tests.fixtures.administration import answered
from tests.fixtures.clients import RestClient
from tests.fixtures.functions import feature_sum
from tests.fixtures.gates import Gate, Gated
from tests.fixtures.local_clusters import local, prediction, predicts, with_sums
from tests.fixtures.processes import processes, send, state, wait_for_another
from tests.fixtures.restarts import the_start_waits_for_the_model_and_the_first_question_is_answered_by_it
from tests.fixtures.waiting import wait_until

GONE_WITHIN_S = 30.0
SERVICES = ("redis", "management", "query-0", "envoy")


@pytest.fixture(scope="module")
def serving(clipper_home: Path) -> Iterator[ClipperConnection]:
    """A cluster with an application "sums"; a test mends what it breaks."""
    connection = ClipperConnection(free_ports_manager("serving"))
    try:
        yield with_sums(connection)
    finally:
        connection.stop_all(graceful=False)


@pytest.fixture
def own(new_cluster: NewCluster) -> ClipperConnection:
    """A cluster of the test's own with an application "sums"."""
    return with_sums(new_cluster("own"))


def in_new_interpreter(connection: ClipperConnection, program: str) -> str:
    preamble = (
        "from clipper_admin import ClipperConnection, ProcessContainerManager\n"
        f"connection = ClipperConnection(ProcessContainerManager({connection.cm.cluster_identifier!r}))\n"
        "connection.connect()\n"
    )
    finished = subprocess.run([sys.executable, "-c", preamble + program], capture_output=True, text=True, check=True)
    return finished.stdout


def test_a_new_interpreter_finds_the_cluster_its_applications_and_replicas(serving: ClipperConnection) -> None:
    program = "print(connection.get_all_apps(), connection.get_num_replicas('sums'), connection.get_query_addr())"

    assert in_new_interpreter(serving, program).strip() == f"['sums'] 1 {serving.get_query_addr()}"


def test_a_new_interpreter_can_stop_what_another_started(own: ClipperConnection) -> None:
    processes = state(own).alive()

    in_new_interpreter(own, "connection.stop_all()")

    assert not any(identity.is_alive() for identity in processes)


def test_connecting_to_a_cluster_that_does_not_run_says_how_to_start_it(new_cluster: NewCluster) -> None:
    with pytest.raises(ClipperException, match=r"no running cluster nowhere.*start_clipper"):
        new_cluster("nowhere").connect()


@pytest.mark.parametrize("graceful", [True, False], ids=["gracefully", "by force"])
def test_stopping_leaves_no_process_no_port_and_no_state_but_the_logs(own: ClipperConnection, graceful: bool) -> None:
    stopped, directory = state(own), local(own).directory
    processes = stopped.alive()
    assert len(processes) == len(SERVICES) + 2

    own.stop_all(graceful=graceful)

    assert not any(identity.is_alive() for identity in processes)
    addresses = stopped.addresses
    for address in (addresses.query, addresses.admin, addresses.management_service):
        socket.create_server(("127.0.0.1", int(address.rpartition(":")[2]))).close()
    # Earlier clusters of this name have left logs, too.
    assert {entry.name for entry in directory.root.iterdir()} - {"logs-before"} == {"lock", "logs"}
    assert directory.log_file("query-0").exists()


def test_stopping_what_does_not_run_is_no_error(new_cluster: NewCluster) -> None:
    new_cluster("never-started").stop_all()


def test_a_stopped_cluster_starts_again_empty(own: ClipperConnection) -> None:
    own.stop_all()

    own.start_clipper()

    assert own.get_all_apps() == []


def test_a_cluster_that_is_stopped_with_its_state_kept_starts_again_with_all_that_it_had(
    own: ClipperConnection, new_cluster: NewCluster
) -> None:
    with Gate().guarded() as gate:
        gate.open()
        slow = Gated("127.0.0.1", gate.port, "slow")
        python_deployer.create_endpoint(own, "slow", "doubles", slow, slo_micros=5_000_000, check=False)
        for graceful in (True, False):
            processes = state(own).alive()

            own.stop_all(graceful=graceful, keep_state=True)

            assert not any(identity.is_alive() for identity in processes)
            again = new_cluster("own")
            the_start_waits_for_the_model_and_the_first_question_is_answered_by_it(again, "slow", gate)
            assert again.get_all_models() == ["slow:1", "sums:1"]
            assert prediction(again, [1.0, 2.0])["output"] == 3.0


def test_starting_a_running_cluster_connects_to_it_and_disturbs_nothing(
    serving: ClipperConnection, caplog: pytest.LogCaptureFixture
) -> None:
    before = state(serving)
    again = ClipperConnection(ProcessContainerManager("serving"))

    again.start_clipper()

    assert again.get_all_apps() == ["sums"]
    assert prediction(again, [1.0, 2.0])["output"] == 3.0
    assert state(serving) == before
    assert "[serving] The cluster runs already; connecting to it" in caplog.messages
    addresses = before.addresses
    told = f"Predictions at {addresses.query}, administration at {addresses.admin}, metrics at {addresses.metrics[0]}"
    assert f"[serving] {told}" in caplog.messages
    assert all(record.levelname == "INFO" for record in caplog.records)


def test_arguments_that_a_running_cluster_does_not_follow_are_named(
    serving: ClipperConnection, caplog: pytest.LogCaptureFixture
) -> None:
    manager = ProcessContainerManager("serving", query_port=1, management_port=0, metrics_port=0)

    ClipperConnection(manager).start_clipper(num_frontend_replicas=3, cache_size=1000)

    [warning] = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    port = serving.get_query_addr().rpartition(":")[2]
    assert f"query_port=1 (it has {port}), num_frontend_replicas=3 (it has 1), cache_size=1000 (it has" in warning
    assert "stop_all" in warning


def test_of_programs_that_start_the_same_cluster_at_once_one_does_and_all_are_connected(
    new_cluster: NewCluster, caplog: pytest.LogCaptureFixture
) -> None:
    connections = [new_cluster("contended") for _ in range(3)]

    with ThreadPoolExecutor(len(connections), thread_name_prefix="program") as programs:
        list(programs.map(ClipperConnection.start_clipper, connections))

    assert len({connection.get_query_addr() for connection in connections}) == 1
    assert [connection.get_all_apps() for connection in connections] == [[], [], []]
    assert caplog.messages.count("[contended] The cluster runs already; connecting to it") == 2


def test_a_cluster_that_is_just_being_stopped_is_waited_for_and_started_anew(
    own: ClipperConnection, new_cluster: NewCluster
) -> None:
    envoy, redis = processes(own)["envoy"], processes(own)["redis"]
    assert envoy is not None
    assert redis is not None
    again = new_cluster("own")

    # Redis ends last, and stopped like this not before it is allowed to.
    redis.send(signal.SIGSTOP)
    with ThreadPoolExecutor(2, thread_name_prefix="program") as programs:
        stopping = programs.submit(own.stop_all)
        assert envoy.wait_until_gone(GONE_WITHIN_S)
        starting = programs.submit(again.start_clipper)
        with pytest.raises(TimeoutError):
            starting.result(timeout=0.3)
        redis.send(signal.SIGCONT)
        stopping.result()
        starting.result()

    assert not redis.is_alive()
    assert again.get_all_apps() == []


def test_a_taken_port_is_named_and_nothing_is_left_running(new_cluster: NewCluster) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        manager = ProcessContainerManager("unlucky", query_port=port, management_port=0, metrics_port=0)
        with pytest.raises(ClipperException, match=f"Port {port}, wanted for predictions, cannot be used"):
            ClipperConnection(manager).start_clipper()

    with pytest.raises(ClipperException, match="no running cluster"):
        manager.connect()


@pytest.mark.parametrize("name", SERVICES)
def test_a_killed_service_is_started_again_at_its_address_with_everything_registered(
    serving: ClipperConnection, name: str
) -> None:
    address = serving.get_query_addr()
    pid, _killed_s = send(serving, name)

    wait_for_another(serving, name, pid)
    wait_until(predicts(serving))

    assert serving.get_query_addr() == address
    assert answered(serving.get_all_apps) == ["sums"]
    assert answered(lambda: serving.get_linked_models("sums")) == ["sums"]


def test_a_killed_replica_is_started_again(serving: ClipperConnection) -> None:
    pid, _killed_s = send(serving, "sums_1-0")

    wait_for_another(serving, "sums_1-0", pid)
    wait_until(predicts(serving))

    assert serving.get_num_replicas("sums") == 1


def test_a_model_that_cannot_be_loaded_fails_its_deployment_with_its_own_log(serving: ClipperConnection) -> None:
    class Exploding:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
            return eval, ("1/0",)

        def __call__(self, inputs: object) -> object:
            return inputs

    with pytest.raises(ClipperException, match="ZeroDivisionError"):
        python_deployer.deploy_python_closure(serving, "broken", 1, "doubles", Exploding())

    assert serving.get_all_models() == ["sums:1"]
    assert serving.get_num_replicas("broken", 1) == 0


def test_a_registered_version_is_refused_before_anything_is_built_or_started(serving: ClipperConnection) -> None:
    images = list(local(serving).directory.images.iterdir())

    with pytest.raises(ClipperException, match="'sums' and version '1' already exists"):
        python_deployer.deploy_python_closure(serving, "sums", 1, "doubles", feature_sum)

    assert list(local(serving).directory.images.iterdir()) == images
    assert serving.get_num_replicas("sums") == 1


def test_a_refused_registration_leaves_no_replica(serving: ClipperConnection) -> None:
    with pytest.raises(ClipperException, match="Received error status code"):
        python_deployer.deploy_python_closure(serving, "sums", 2, "strings", feature_sum, check=False)

    assert serving.get_num_replicas("sums", 2) == 0
    assert serving.get_current_model_version("sums") == "1"


def test_replicas_are_added_and_removed(serving: ClipperConnection) -> None:
    serving.set_num_replicas("sums", 3)
    assert serving.get_num_replicas("sums") == 3
    assert len(serving.get_all_model_replicas()) == 3

    serving.set_num_replicas("sums", 1)
    assert serving.get_num_replicas("sums") == 1
    assert prediction(serving, [1.0, 2.5])["output"] == 3.5


def test_logs_of_every_process_are_copied(serving: ClipperConnection, tmp_path: Path) -> None:
    files = serving.get_clipper_logs(str(tmp_path / "logs"))

    names = {Path(file).name for file in files}
    assert names == {log.name for log in local(serving).directory.log_file("query-0").parent.iterdir()}
    assert names >= {"supervisor.log", "sums_1-0.log", *(f"{service}.log" for service in SERVICES)}
    assert all(Path(file).exists() for file in files)


def talkative(xs: Any) -> list[str]:
    """A model that prints a megabyte for each input."""
    for _ in xs:
        sys.stdout.write("word " * 200_000 + "\n")
    return [str(sum(x)) for x in xs]


def test_what_a_model_prints_is_kept_but_not_without_end(
    new_cluster: NewCluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CLIPPER_LOG_FILE_BYTES", "300000")
    monkeypatch.setenv("CLIPPER_LOG_OLD_FILES", "1")
    connection = new_cluster("talkative")
    connection.start_clipper()
    python_deployer.create_endpoint(connection, "sums", "doubles", talkative, slo_micros=5_000_000, check=False)
    logs = local(connection).directory.logs

    def kept() -> dict[str, int]:
        return {log.name: log.stat().st_size for log in logs.glob("sums_1-0.log*")}

    for number in range(3):
        assert prediction(connection, [number, 0.5])["output"] == number + 0.5
        wait_until(lambda: kept()["sums_1-0.log"] < 300_000)

    assert set(kept()) == {"sums_1-0.log", "sums_1-0.log.1"}
    assert sum(kept().values()) < 1_400_000
    files = connection.get_clipper_logs(str(tmp_path))
    assert {"sums_1-0.log", "sums_1-0.log.1"} <= {Path(file).name for file in files}


def test_a_limit_of_logs_that_is_none_is_refused_before_anything_runs(
    new_cluster: NewCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLIPPER_LOG_FILE_BYTES", "lots")
    connection = new_cluster("unlimited")

    with pytest.raises(ClipperException, match="CLIPPER_LOG_FILE_BYTES must be a whole number from 262144 on, not"):
        connection.start_clipper()


def test_metrics_are_to_be_had_as_json_and_as_prometheus_text(serving: ClipperConnection) -> None:
    prediction(serving, [1.0])

    assert {"counters", "meters", "histograms"} <= set(serving.inspect_instance())
    assert "# TYPE" in requests.get(f"http://{serving.get_metric_addr()}/metrics", timeout=5).text


def test_a_cluster_is_spoken_to_past_the_proxies_of_the_environment(
    new_cluster: NewCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
        monkeypatch.delenv(variable, raising=False)
    for variable in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY", "grpc_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:1")
    connection = with_sums(new_cluster("behind-a-proxy"))

    assert connection.inspect_instance()
    with RestClient(connection.get_query_addr(), "sums") as client:
        assert client.ask([1.0, 2.0]).output == 3.0
