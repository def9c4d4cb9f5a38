"""`python -m clipper_admin`."""

import subprocess
import sys

from tests.e2e.conftest import NewCluster


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
