"""The lines that clipper_admin shows."""

import re
import subprocess
import sys

PROGRAM = """
{setup}
from clipper_admin.applications import Applications
from clipper_admin.undoing import Undoing

class Client:
    def post(self, operation, body):
        return None

applications = Applications(Client(), "default-cluster", Undoing("default-cluster"))
applications.register("hello-world", "doubles", "-1.0", 100000, exist_ok=False)
"""


def shown(setup: str) -> str:
    """What a program shows on standard error."""
    program = PROGRAM.format(setup=setup)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stderr


def test_a_line_has_time_level_place_cluster_and_message() -> None:
    line = r"\d\d-\d\d-\d\d:\d\d:\d\d:\d\d INFO     \[applications.py:\d+\] \[default-cluster\] "

    assert re.fullmatch(line + "Application hello-world was successfully registered\n", shown(setup=""))


def test_a_program_that_has_set_up_logging_keeps_its_own() -> None:
    setup = "import logging; logging.basicConfig(level=logging.INFO, format='mine: %(message)s')"

    assert shown(setup) == "mine: [default-cluster] Application hello-world was successfully registered\n"
