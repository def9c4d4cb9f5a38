"""A cluster of local processes all of which are killed at once: start_clipper goes on where they were."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from clipper_admin import ClipperConnection, ClipperException, ProcessContainerManager
from clipper_admin.deployers import python as python_deployer
from tests.e2e.conftest import NewCluster, free_ports_manager
from tests.fixtures.local_clusters import cut_power, kill_supervisor, local, prediction, with_sums, written_state
from tests.fixtures.waiting import wait_until

INPUTS = [[float(number), 0.5] for number in range(20)]
USER = "ada"
# With the supervisor.
PROCESSES = 7


def twice(xs: Any) -> list[str]:
    """A second model."""
    return [str(2 * sum(x)) for x in xs]


@pytest.fixture(scope="module")
def cluster(clipper_home: Path) -> Iterator[ClipperConnection]:
    """A cluster with "sums", and with "learner" that chooses between "sums" and "twice"; a test leaves it running."""
    connection = ClipperConnection(free_ports_manager("cut"))
    try:
        with_sums(connection)
        python_deployer.deploy_python_closure(connection, "twice", 1, "doubles", twice, check=False)
        connection.register_application("learner", "doubles", "-1.0", 5_000_000, selection_policy="exp3")
        for model in ("sums", "twice"):
            connection.link_model_to_app("learner", model)
        learn(connection)
        yield connection
    finally:
        connection.stop_all(graceful=False)


def learn(connection: ClipperConnection) -> None:
    """Teaches "learner" that "sums" is right."""
    url = f"http://{connection.get_query_addr()}/learner"
    for row in INPUTS:
        answer = requests.post(f"{url}/predict", json={"input": row, "uid": USER}, timeout=10).json()
        feedback = {"query_id": answer["query_id"], "label": sum(row)}
        assert requests.post(f"{url}/update", json=feedback, timeout=10).status_code == requests.codes.ok


def told(connection: ClipperConnection) -> dict[str, object]:
    """What the cluster has of everything that must survive."""
    return {
        "applications": connection.get_all_apps(verbose=True),
        "models": connection.get_all_models(verbose=True),
        "links": {app: connection.get_linked_models(app) for app in connection.get_all_apps()},
        "selection": connection.get_selection_state("learner", USER),
        "replicas": {model: connection.get_num_replicas(model) for model in ("sums", "twice")},
        "answers": [prediction(connection, row)["output"] for row in INPUTS],
    }


def again(connection: ClipperConnection) -> ClipperConnection:
    """The cluster, started by another program."""
    started = ClipperConnection(free_ports_manager(connection.cm.cluster_identifier))
    started.start_clipper()
    return started


@pytest.mark.essential
def test_everything_is_back_at_once_and_query_ids_are_new(cluster: ClipperConnection) -> None:
    before, directory = told(cluster), local(cluster).directory
    ids = {prediction(cluster, row)["query_id"] for row in INPUTS}
    images = sorted(directory.images.iterdir())
    redis_log = directory.log_file("redis").read_bytes()

    cut_power(cluster)
    with pytest.raises(ClipperException, match=r"what it was is kept there.*start_clipper starts it again"):
        cluster.connect()
    cluster.start_clipper(num_frontend_replicas=2)

    first = [prediction(cluster, row) for row in INPUTS]
    assert [answer["default"] for answer in first] == [False] * len(INPUTS)
    assert not ids & {answer["query_id"] for answer in first}
    assert told(cluster) == before
    assert sorted(directory.images.iterdir()) == images
    assert len(written_state(cluster).addresses.query_services) == 2
    assert (directory.root / "logs-before" / "redis.log").read_bytes().startswith(redis_log)


def test_after_a_reboot_nobody_elses_process_is_taken_for_the_clusters(cluster: ClipperConnection) -> None:
    before, state_file = told(cluster), local(cluster).directory.state_file
    cut_power(cluster)
    state = json.loads(state_file.read_text())
    for record in state["processes"]:
        record["identity"] = {"pid": os.getpid(), "started": "another boot:1"}
    state["supervisor"] = state["processes"][0]["identity"]
    state_file.write_text(json.dumps(state))
    state_file.with_name("state.json.new").write_text("{")

    assert told(again(cluster)) == before


@pytest.mark.parametrize("processes", [0, 3, PROCESSES])
def test_a_second_cut_while_the_cluster_comes_back_costs_nothing(cluster: ClipperConnection, processes: int) -> None:
    before = told(cluster)
    cut_power(cluster)
    with starting(cluster, processes) as program:
        program.kill()
    cut_power(cluster)

    assert told(again(cluster)) == before


def test_an_interrupted_start_ends_what_it_started_and_costs_nothing(cluster: ClipperConnection) -> None:
    before = told(cluster)
    cut_power(cluster)
    with starting(cluster, processes=2) as program:
        program.send_signal(signal.SIGINT)
        _output, said = program.communicate(timeout=60)

    assert "KeyboardInterrupt" in said
    assert written_state(cluster).alive() == []
    assert told(again(cluster)) == before


def test_a_supervisor_that_is_killed_while_the_cluster_comes_back_is_replaced(cluster: ClipperConnection) -> None:
    before = told(cluster)
    cut_power(cluster)
    with starting(cluster, processes=3) as program:
        kill_supervisor(cluster)
        _output, said = program.communicate(timeout=60)

    assert program.returncode == 0, said
    assert told(again(cluster)) == before


def test_a_start_that_was_overtaken_by_another_ends_nothing_of_it(new_cluster: NewCluster) -> None:
    own = with_sums(new_cluster("overtaken"))
    cut_power(own)
    with starting(own, processes=3) as program:
        program.send_signal(signal.SIGSTOP)
        own.stop_all(graceful=False, keep_state=True)
        own.start_clipper()
        program.send_signal(signal.SIGCONT)
        _output, said = program.communicate(timeout=60)

    assert "Another program has stopped cluster overtaken while it started, and begun anew" in said
    assert prediction(own, [1.0, 2.0])["output"] == 3.0


def starting(cluster: ClipperConnection, processes: int) -> subprocess.Popen[str]:
    """Has another program start the cluster; returns once so many processes are there."""
    name = cluster.cm.cluster_identifier
    manager = f"ProcessContainerManager({name!r}, query_port=0, management_port=0, metrics_port=0)"
    program = (
        "from clipper_admin import ClipperConnection, ProcessContainerManager\n"
        f"ClipperConnection({manager}).start_clipper()\n"
    )
    last = written_state(cluster).addresses
    starting = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True)

    def far_enough() -> bool:
        state = written_state(cluster)
        return state.addresses != last and len(state.alive()) >= processes

    wait_until(far_enough, within_s=30)
    return starting


def test_a_store_that_cannot_start_is_named_with_its_log_and_its_files_and_nothing_is_lost(
    cluster: ClipperConnection,
) -> None:
    before, directory = told(cluster), local(cluster).directory
    cut_power(cluster)
    log = directory.redis / "appendonly.aof"
    intact = log.read_bytes()
    log.write_bytes(intact[:100] + b"garbage" + intact[100:])

    with pytest.raises(ClipperException) as failed:
        cluster.start_clipper()

    assert "redis ended with exit code 1" in str(failed.value)
    assert f"{directory.root} is kept" in str(failed.value)
    assert str(directory.log_file("redis")) in str(failed.value)
    assert "Bad file format reading the append only file" in str(failed.value)
    assert b"garbage" in log.read_bytes()
    assert written_state(cluster).alive() == []
    log.write_bytes(intact)
    assert told(again(cluster)) == before


def test_the_last_command_of_the_store_may_be_half_written(cluster: ClipperConnection) -> None:
    before = told(cluster)
    cut_power(cluster)
    with (local(cluster).directory.redis / "appendonly.aof").open("ab") as log:
        log.write(b"*3\r\n$3\r\nSET\r\n$5\r\nclip")

    assert told(again(cluster)) == before


@pytest.mark.essential
def test_a_replica_that_cannot_be_started_again_is_named_and_holds_up_nobody(
    cluster: ClipperConnection, caplog: pytest.LogCaptureFixture
) -> None:
    replica = next(spec for spec in written_state(cluster).replicas() if spec.model_id == "twice:1")
    model = Path(replica.environment["CLIPPER_MODEL_PATH"])
    cut_power(cluster)
    model.rename(model.with_name("away"))
    try:
        started = again(cluster)
    finally:
        model.with_name("away").rename(model)

    assert prediction(started, [1.0, 2.0])["output"] == 3.0
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert any(f"{replica.name} ended with exit code" in warning for warning in warnings)
    cut_power(cluster)
    assert again(cluster).get_num_replicas("twice") == 1


@pytest.mark.parametrize("killed", [cut_power, kill_supervisor], ids=["with all", "with the supervisor"])
def test_an_unreadable_state_is_put_aside_and_what_is_registered_is_still_there(
    cluster: ClipperConnection, caplog: pytest.LogCaptureFixture, killed: Callable[[ClipperConnection], object]
) -> None:
    apps, state_file = cluster.get_all_apps(verbose=True), local(cluster).directory.state_file
    alive = written_state(cluster).alive()
    killed(cluster)
    written = state_file.read_bytes()
    state_file.write_bytes(written[: len(written) // 2])

    with pytest.raises(ClipperException, match=r"state\.json, cannot be read .*start_clipper puts it aside"):
        cluster.connect()
    cluster.start_clipper()

    assert cluster.get_all_apps(verbose=True) == apps
    assert not any(process.is_alive() for process in alive)
    [aside] = state_file.parent.glob("state.json.unreadable-*")
    assert aside.read_bytes() == written[: len(written) // 2]
    assert any("cannot be read" in message and str(aside) in message for message in caplog.messages)
    aside.unlink()
    for model in ("sums", "twice"):
        cluster.set_num_replicas(model, 1)


@pytest.mark.parametrize("damage", [lambda file: file.write_text("{"), Path.unlink], ids=["damaged", "deleted"])
def test_a_running_cluster_writes_its_state_again(cluster: ClipperConnection, damage: Callable[[Path], object]) -> None:
    written = written_state(cluster)
    damage(local(cluster).directory.state_file)

    cluster.connect()

    assert written_state(cluster) == written


def test_a_start_at_a_taken_port_costs_nothing(cluster: ClipperConnection) -> None:
    before = told(cluster)
    cut_power(cluster)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        manager = ProcessContainerManager("cut", query_port=taken.getsockname()[1], management_port=0, metrics_port=0)
        with pytest.raises(ClipperException, match="wanted for predictions, cannot be used"):
            ClipperConnection(manager).start_clipper()

    assert told(again(cluster)) == before


def test_stopping_what_was_killed_forgets_it(new_cluster: NewCluster) -> None:
    own = with_sums(new_cluster("cut-for-good"))
    cut_power(own)

    own.stop_all()

    assert {entry.name for entry in local(own).directory.root.iterdir()} == {"lock", "logs"}
    own.start_clipper()
    assert own.get_all_apps() == []


def test_a_terminated_supervisor_stops_everything_and_the_cluster_can_go_on(cluster: ClipperConnection) -> None:
    before, state = told(cluster), written_state(cluster)
    assert state.supervisor is not None

    state.supervisor.send(signal.SIGTERM)

    assert state.supervisor.wait_until_gone(30)
    assert state.alive() == []
    assert told(again(cluster)) == before
