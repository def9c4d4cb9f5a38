"""Clipper as a user installs it, far from its sources, on every interpreter that this machine has."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fixtures.interpreters import TREE, Interpreter, environment, interpreters

# A first run installs, and may compile.
pytestmark = pytest.mark.timeout(600)
# On ports that are free, and with time, whatever else runs here.
CHANGES = {
    "ProcessContainerManager()": "ProcessContainerManager(query_port=0, management_port=0, metrics_port=0)",
    "slo_micros=100_000": "slo_micros=5_000_000",
}
MANAGERS = """
import clipper_admin
try:
    clipper_admin.DockerContainerManager()
except clipper_admin.ClipperException as refusal:
    print(clipper_admin.__file__, refusal.msg)
"""


@dataclass(frozen=True, slots=True)
class Installed:
    """An environment with Clipper, and a directory to use it from that is not the sources'."""

    environment: Path
    directory: Path

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs a program of the environment."""
        # Deeper than the address of a socket is long.
        variables = {**os.environ, "CLIPPER_HOME": str(self.directory / ("d" * 120))}
        command = (str(self.environment / "bin" / program), *arguments)
        return subprocess.run(command, cwd=self.directory, env=variables, capture_output=True, text=True)


@pytest.fixture(scope="module", params=interpreters().values(), ids=lambda interpreter: interpreter.version)
def installed(
    request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installed]:
    """Clipper, installed for an interpreter; afterwards nothing of it runs."""
    interpreter: Interpreter = request.param
    made = Installed(environment(interpreter, wheel), tmp_path_factory.mktemp("away"))
    yield made
    made.run("clipper", "stop")


def test_the_interpreter_of_the_tests_is_one_of_them() -> None:
    assert "{}.{}.{}".format(*sys.version_info) in {interpreter.version for interpreter in interpreters().values()}


def test_the_quick_start_runs(installed: Installed) -> None:
    program = (TREE / "examples" / "quickstart.py").read_text()
    for written, meant in CHANGES.items():
        assert written in program
        program = program.replace(written, meant)
    (installed.directory / "quickstart.py").write_text(program)

    finished = installed.run("python", "quickstart.py")

    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.splitlines()[-1] == "{'query_id': 0, 'output': 6.6, 'default': False}"


def test_the_command_tells_of_the_cluster_and_stops_it(installed: Installed) -> None:
    assert installed.run("clipper", "start").returncode == 0
    assert installed.run("clipper", "status").stdout.startswith("Cluster default-cluster\n")
    assert installed.run("clipper", "stop").returncode == 0

    told = installed.run("clipper", "status")

    assert told.returncode == 1
    assert re.match("There is no running cluster default-cluster in .*start_clipper starts one", told.stderr)


def test_without_the_extra_docker_a_manager_says_what_to_install(installed: Installed) -> None:
    told = installed.run("python", "-c", MANAGERS)

    assert told.stdout.startswith(str(installed.environment)), told.stderr
    assert "`pip install 'clipper[docker]'` brings it" in told.stdout


def test_what_is_installed_fits_together(installed: Installed) -> None:
    checked = installed.run("python", "-m", "pip", "check")

    assert checked.returncode == 0, checked.stdout
