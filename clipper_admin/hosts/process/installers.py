"""What installs packages into an environment: uv where it is, else pip; neither has to be in the environment."""

import logging
import shutil
import subprocess
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from clipper_admin.exceptions import ClipperException

_LOG = logging.getLogger(__name__)
_ERROR_LINES = 20


class Installer:
    """Makes environments and installs into them, with every line that this prints in the log.

    Args:
        pythons: whose uv or pip it may be.

    Raises:
        ClipperException: there is neither.
    """

    def __init__(self, *pythons: str) -> None:
        self._uv = next(filter(None, (_uv_of(python) for python in pythons)), shutil.which("uv"))
        self._pip = None if self._uv else next(filter(_has_pip, pythons), None)
        if not self._uv and not self._pip:
            raise ClipperException(
                f"Packages of models are installed with pip, which {pythons[0]} has not got, or with uv, which is not "
                f"on PATH. `{pythons[0]} -m ensurepip` brings pip"
            )

    def make(self, environment: Path, python: str) -> None:
        """Makes an empty environment.

        Args:
            environment: its directory.
            python: the path of an interpreter or, as in "3.12", which is to be found.

        Raises:
            ClipperException: there is no such interpreter, or it cannot make environments.
        """
        interpreter = shutil.which(python) or shutil.which(f"python{python}")
        if interpreter is not None and _answers(interpreter):
            run(
                f"make a virtual environment with {interpreter}",
                *(interpreter, "-m", "venv", "--without-pip", str(environment)),
            )
        elif self._uv:
            run(
                f"find Python {python}, and make a virtual environment with it",
                *(self._uv, "venv", "--no-project", "--python", python, str(environment)),
            )
        else:
            raise ClipperException(
                f"There is no Python {python} on PATH for the model. Name an interpreter by its path "
                "(python='/path/to/python'), or install uv, which finds and fetches interpreters"
            )

    def install(
        self, python: str, packages: Sequence[str], *, besides: Sequence[str] = (), constraints: Path | None = None
    ) -> None:
        """Installs packages for the interpreter of an environment.

        Args:
            python: the interpreter.
            packages: what the user asked for, as pip takes it.
            besides: what is needed besides.
            constraints: a file of pins that all that is installed has to agree with.

        Raises:
            ClipperException: that cannot be done; ends with the last lines that were printed.
        """
        if self._uv:
            command = [self._uv, "pip", "install", "--no-progress", "--python", python]
        else:
            options = ("--disable-pip-version-check", "--no-input", "--python", python)
            command = [str(self._pip), "-m", "pip", *options, "install", "--progress-bar", "off"]
        if constraints is not None:
            command += ["--constraint", str(constraints)]
        run(f"install {', '.join(packages or besides)}", *command, *packages, *besides)


def run(purpose: str, *command: str) -> None:
    """Runs a command with its output in the log.

    Raises:
        ClipperException: it failed; ends with its last lines.
    """
    last_lines: deque[str] = deque(maxlen=_ERROR_LINES)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout or ():
            last_lines.append(line.rstrip())
            _LOG.info("%s", line.rstrip())
    if process.returncode != 0:
        raise ClipperException(f"Could not {purpose}:\n" + "\n".join(last_lines))


def _uv_of(python: str) -> str | None:
    return shutil.which("uv", path=str(Path(python).parent))


def _has_pip(python: str) -> bool:
    return subprocess.run((python, "-m", "pip", "--version"), capture_output=True).returncode == 0


def _answers(python: str) -> bool:
    """Whether it runs: a manager of versions has programs on PATH that do only where a version was chosen."""
    return subprocess.run((python, "-I", "-c", ""), capture_output=True).returncode == 0
