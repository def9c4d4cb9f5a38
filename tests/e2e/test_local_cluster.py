"""A cluster of local processes as its user sees it: started, found again, broken, repaired, stopped."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from clipper_admin import ClipperConnection, ClipperException, ProcessContainerManager
from clipper_admin.deployers import python as python_deployer
from clipper_admin.local.cluster import LocalCluster
from clipper_admin.local.state import ClusterState
from tests.e2e.conftest import NewCluster, free_ports_manager
from tests.fixtures.clients import RestClient
from tests.fixtures.functions import feature_sum
from tests.fixtures.processes import send, wait_for_another
from tests.fixtures.waiting import wait_until

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


def with_sums(connection: ClipperConnection) -> ClipperConnection:
    connection.start_clipper()
    python_deployer.create_endpoint(connection, "sums", "doubles", feature_sum, default_output="-1.0")
    return connection


def local(connection: ClipperConnection) -> LocalCluster:
    return LocalCluster(connection.cm.cluster_identifier, Path(os.environ["CLIPPER_HOME"]))


def state_of(connection: ClipperConnection) -> ClusterState:
    return local(connection).state()


def prediction(connection: ClipperConnection, numbers: list[float]) -> dict[str, object]:
    url = f"http://{connection.get_query_addr()}/sums/predict"
    answer: dict[str, object] = requests.post(url, json={"input": numbers}, timeout=10).json()
    return answer


def predicts(connection: ClipperConnection) -> Callable[[], bool]:
    """Whether inputs that no cache has seen are answered by the model."""
    numbers = iter(range(10_000))

    def holds() -> bool:
        try:
            answer = prediction(connection, [float(next(numbers)), os.getpid()])
        except (requests.RequestException, ValueError):
            return False
        return answer.get("default") is False

    return holds


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
    processes = state_of(own).alive()

    in_new_interpreter(own, "connection.stop_all()")

    assert not any(identity.is_alive() for identity in processes)


def test_connecting_to_a_cluster_that_does_not_run_says_how_to_start_it(new_cluster: NewCluster) -> None:
    with pytest.raises(ClipperException, match=r"no running cluster nowhere.*start_clipper"):
        new_cluster("nowhere").connect()


@pytest.mark.parametrize("graceful", [True, False], ids=["gracefully", "by force"])
def test_stopping_leaves_no_process_no_port_and_no_state_but_the_logs(own: ClipperConnection, graceful: bool) -> None:
    state, directory = state_of(own), local(own).directory
    processes = state.alive()
    assert len(processes) == len(SERVICES) + 2

    own.stop_all(graceful=graceful)

    assert not any(identity.is_alive() for identity in processes)
    for address in (state.addresses.query, state.addresses.admin, state.addresses.management_service):
        socket.create_server(("127.0.0.1", int(address.rpartition(":")[2]))).close()
    assert sorted(entry.name for entry in directory.root.iterdir()) == ["lock", "logs"]
    assert directory.log_file("query-0").exists()


def test_stopping_what_does_not_run_is_no_error(new_cluster: NewCluster) -> None:
    new_cluster("never-started").stop_all()


def test_a_stopped_cluster_starts_again_empty(own: ClipperConnection) -> None:
    own.stop_all()

    own.start_clipper()

    assert own.get_all_apps() == []


def test_a_running_cluster_cannot_be_started_twice_and_is_not_disturbed(serving: ClipperConnection) -> None:
    with pytest.raises(ClipperException, match=r"^Cluster serving cannot be started because it already exists"):
        ClipperConnection(free_ports_manager("serving")).start_clipper()

    assert prediction(serving, [1.0, 2.0])["output"] == 3.0


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
    assert serving.get_all_apps() == ["sums"]
    assert serving.get_linked_models("sums") == ["sums"]


def test_a_killed_replica_is_started_again(serving: ClipperConnection) -> None:
    pid, _killed_s = send(serving, "sums_1-0")

    wait_for_another(serving, "sums_1-0", pid)
    wait_until(predicts(serving))

    assert serving.get_num_replicas("sums") == 1


def test_a_cluster_whose_supervisor_was_killed_serves_on_and_can_still_be_stopped(own: ClipperConnection) -> None:
    state = state_of(own)
    assert state.supervisor is not None
    state.supervisor.send(signal.SIGKILL)
    assert state.supervisor.wait_until_gone(5)

    own.connect()
    assert prediction(own, [1.0, 2.0])["output"] == 3.0
    with pytest.raises(ClipperException, match="already exists"):
        own.start_clipper()
    with pytest.raises(ClipperException, match="supervisor does not answer"):
        own.set_num_replicas("sums", 2)

    own.stop_all()
    assert state.alive() == []
    own.start_clipper()


def test_a_terminated_supervisor_stops_everything(own: ClipperConnection) -> None:
    state = state_of(own)
    assert state.supervisor is not None

    state.supervisor.send(signal.SIGTERM)

    assert state.supervisor.wait_until_gone(30)
    assert state.alive() == []


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
        python_deployer.deploy_python_closure(serving, "sums", 2, "strings", feature_sum)

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
