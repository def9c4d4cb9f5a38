"""`python -m clipper_admin`."""

import json
import subprocess
import sys

import requests

from clipper_admin import ClipperConnection, replay
from clipper_admin.deployers import python as python_deployer
from tests.e2e.conftest import NewCluster
from tests.fixtures.clients import RestClient
from tests.fixtures.functions import feature_sum


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "clipper_admin", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_stop_stops_a_running_cluster(new_cluster: NewCluster) -> None:
    connection = new_cluster("from-a-shell")
    connection.start_clipper()

    stopped = run("stop", "--cluster", "from-a-shell")

    assert stopped.returncode == 0
    assert "[from-a-shell] Stopped all Clipper cluster and all model containers" in stopped.stderr
    connection.start_clipper()


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
    python_deployer.deploy_python_closure(cluster, name, 1, "doubles", feature_sum)
    cluster.link_model_to_app(name, name)
    with RestClient(cluster.get_query_addr(), name) as client:
        query_id = client.ask([1.0, 2.0]).query_id
    body = {"query_id": query_id, "label": "drei"}
    assert requests.post(f"http://{cluster.get_query_addr()}/{name}/update", json=body, timeout=10).ok

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
