"""The command `clipper`."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import pytest
import requests

from clipper_admin import ClipperConnection, replay
from clipper_admin.deployers import python as python_deployer
from tests.e2e.conftest import NewCluster
from tests.fixtures.clients import RestClient
from tests.fixtures.functions import feature_sum
from tests.fixtures.processes import processes, send
from tests.fixtures.waiting import wait_until
from tests.fixtures.wheels import wheel

CLIPPER = [str(Path(sys.executable).parent / "clipper")]
MODULE = [sys.executable, "-m", "clipper_admin"]


def run(*arguments: str, program: Sequence[str] = CLIPPER) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*program, *arguments], capture_output=True, text=True, check=False)


def test_the_module_is_the_same_program() -> None:
    assert run("--help", program=MODULE).stdout == run("--help").stdout


def test_stop_stops_a_running_cluster(new_cluster: NewCluster) -> None:
    connection = new_cluster("from-a-shell")
    connection.start_clipper()

    stopped = run("stop", "--cluster", "from-a-shell")

    assert stopped.returncode == 0
    assert "[from-a-shell] Stopped all Clipper cluster and all model containers" in stopped.stderr
    connection.start_clipper()


def test_stop_keeps_what_is_registered_when_it_is_told_to(new_cluster: NewCluster) -> None:
    connection = new_cluster("kept-from-a-shell")
    connection.start_clipper()
    connection.register_application("kept", "doubles", "none", 100_000)

    assert run("stop", "--keep-state", "--cluster", "kept-from-a-shell").returncode == 0

    connection.start_clipper()
    assert connection.get_all_apps() == ["kept"]


def test_a_failure_is_one_sentence_and_not_a_traceback() -> None:
    failed = run("start", "--cluster", "no/name")

    assert failed.returncode == 1
    assert failed.stderr.startswith("Invalid cluster name: no/name.")


def test_environment_prints_the_interpreter_alone() -> None:
    failed = run("environment", "/no/such.whl")

    assert failed.returncode == 1
    assert failed.stdout == ""
    assert "Could not install /no/such.whl" in failed.stderr


def test_events_prints_what_is_logged_one_event_a_line(cluster: ClipperConnection) -> None:
    name = "logged-events"
    cluster.register_application(name, "doubles", "-1.0", 5_000_000, selection_policy="exp3")
    python_deployer.deploy_python_closure(cluster, name, 1, "doubles", feature_sum, check=False)
    cluster.link_model_to_app(name, name)
    with RestClient(cluster.get_query_addr(), name) as client:
        query_id = client.ask([1.0, 2.0]).query_id
    body = {"query_id": query_id, "label": "drei"}
    assert requests.post(f"http://{cluster.get_query_addr()}/{name}/update", json=body, timeout=10).ok
    # Feedback is stored when it is answered, predictions a moment later.
    wait_until(lambda: len(list(replay.logged(cluster, name))) == 2)

    printed = run("events", "--cluster", "shared", name)

    assert printed.returncode == 0
    events = [json.loads(line) for line in printed.stdout.splitlines()]
    assert sorted(event["event"] for event in events) == ["feedback", "prediction"]
    assert events == list(replay.logged(cluster, name))
    cluster.stop_models([name])


def test_events_of_an_unknown_application_are_refused(cluster: ClipperConnection) -> None:
    refused = run("events", "--cluster", "shared", "nobody")

    assert refused.returncode == 1
    assert "No application with name 'nobody' exists." in refused.stderr


def test_status_prints_where_a_cluster_listens_what_runs_and_what_is_registered(cluster: ClipperConnection) -> None:
    name = "told-of"
    cluster.register_application(name, "doubles", "-1.0", 50_500)
    for number in (1, 2):
        python_deployer.deploy_python_closure(
            cluster, name, number, "doubles", feature_sum, num_replicas=number, check=False
        )
    cluster.link_model_to_app(name, name)
    cluster.register_model("told-of-others", 1, "strings")

    told = run("status", "--cluster", "shared")

    assert (told.returncode, told.stderr) == (0, "")
    rows = [tuple(re.split(" {2,}", line.strip())) for line in told.stdout.splitlines()]
    assert rows[0] == ("Cluster shared",)
    assert ("predictions", cluster.get_query_addr()) in rows
    assert ("administration", cluster.cm.get_admin_addr()) in rows
    assert ("metrics", cluster.get_metric_addr()) in rows
    for service in ("redis", "management", "query-0", "query-1", "envoy"):
        assert (service, "running") in rows
    assert (name, "doubles", "50.5 ms", name) in rows
    assert (f"{name}:1", "no", "doubles", "1/1 alive") in rows
    assert (f"{name}:2", "yes", "doubles", "2/2 alive") in rows
    assert ("told-of-others:1", "yes", "strings", "0 alive, not the cluster's own") in rows
    cluster.stop_models([name, "told-of-others"])
    cluster.unregister_application(name)


def test_packages_prints_what_is_installed_for_a_model(cluster: ClipperConnection, tmp_path: Path) -> None:
    name, package = "locked", wheel(tmp_path, "lockable")
    for packages in ([], [package]):
        python_deployer.deploy_python_closure(
            cluster, name, None, "doubles", feature_sum, num_replicas=0, pkgs_to_install=packages, check=False
        )

    current, first = (run("packages", "--cluster", "shared", model) for model in (name, f"{name}:1"))

    assert [(told.returncode, told.stderr) for told in (current, first)] == [(0, "")] * 2
    installed, installed_first = current.stdout.splitlines(), first.stdout.splitlines()
    assert f"numpy=={version('numpy')}" in installed_first
    assert {*installed} - {*installed_first} == {"lockable==1.0"}
    assert (installed, installed_first) == (cluster.get_model_packages(name), cluster.get_model_packages(name, 1))
    cluster.stop_models([name])


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("unheard-of", "No versions of model unheard-of registered"),
        ("unheard-of:2", "No version 2 of model unheard-of is registered"),
        ("run-by-others", "Somebody else runs the containers of run-by-others:1"),
    ],
    ids=["no model", "no version", "somebody else's"],
)
def test_packages_of_what_is_not_the_clusters_own_are_refused(
    cluster: ClipperConnection, model: str, told: str
) -> None:
    cluster.register_model("run-by-others", 1, "doubles", exist_ok=True)

    refused = run("packages", "--cluster", "shared", model)

    assert (refused.returncode, refused.stdout) == (1, "")
    assert told in refused.stderr
    cluster.stop_models(["run-by-others"])


def test_status_tells_the_replicas_that_are_alive_from_those_that_were_asked_for(cluster: ClipperConnection) -> None:
    python_deployer.deploy_python_closure(cluster, "dying", 1, "doubles", feature_sum, num_replicas=2, check=False)
    name, _other = [each.name for each in cluster.cm.get_components() if each.model_id == "dying:1"]

    def given_up() -> bool:
        victim = processes(cluster)[name]
        if victim is not None:
            victim.send(signal.SIGKILL)
        return any(component.state == "failed" for component in cluster.cm.get_components())

    wait_until(given_up, within_s=30)

    [row] = [line for line in run("status", "--cluster", "shared").stdout.splitlines() if "dying:1" in line]
    assert row.endswith(f"  1/2 alive, {name} failed")
    cluster.stop_models(["dying"])


def test_status_of_a_cluster_that_does_not_answer_says_what_runs_of_it(
    new_cluster: NewCluster, clipper_home: Path
) -> None:
    connection = new_cluster("headless")
    connection.start_clipper()
    # So that it stays away.
    (clipper_home / "clusters" / "headless" / "envoy" / "envoy.yaml").unlink()
    send(connection, "envoy")

    told = run("status", "--cluster", "headless")

    assert told.returncode == 1
    assert "management  running" in told.stdout
    assert told.stderr.startswith("Cluster headless does not answer: ")


@pytest.mark.parametrize("command", [("status",), ("events", "app"), ("packages", "m")], ids=lambda each: each[0])
def test_of_a_cluster_that_does_not_run_it_is_said_that_there_is_none(command: Sequence[str]) -> None:
    told = run(*command, "--cluster", "nowhere")

    assert (told.returncode, told.stdout) == (1, "")
    assert re.fullmatch(r"There is no running cluster nowhere in .+\. .*\n", told.stderr)


def test_a_cluster_of_docker_containers_is_looked_for_on_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent.sock")

    told = run("status", "--docker")

    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr.startswith("No Docker engine answers: /nonexistent.sock: No such file or directory.")
