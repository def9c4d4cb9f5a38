"""Python environments of models: the services' packages, and before them the ones that a model asked for.

An environment is a virtual environment whose import path ends with the site-packages of the interpreter that runs the
services, so that what those bring (numpy, grpcio) is neither downloaded nor stored again, and what the model asks for
wins. Environments are kept under the home and shared by all models that ask for the same packages.
"""

import fcntl
import hashlib
import json
import logging
import shutil
import subprocess
import sys
import sysconfig
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clipper_admin.exceptions import ClipperException

_LOG = logging.getLogger(__name__)
_MARKER = "clipper-environment.json"
_ERROR_LINES = 20


def services_python() -> str:
    """The interpreter that runs the services: this one or, in a model's environment, the one that it is based on."""
    try:
        return str(json.loads((Path(sys.prefix) / _MARKER).read_text())["services_python"])
    except FileNotFoundError:
        return sys.executable


def provide(home: Path, packages: Sequence[str]) -> str:
    """The interpreter of an environment that has `packages`, made if there is none yet.

    Args:
        home: where environments are kept.
        packages: requirements as pip takes them; none: the services' own interpreter will do.

    Raises:
        ClipperException: there is neither pip nor uv, or a package cannot be installed; ends with pip's last lines.
    """
    if not packages:
        return services_python()
    environments = home / "environments"
    environments.mkdir(mode=0o700, parents=True, exist_ok=True)
    environment = environments / _key(packages)
    with _locked(environment.with_suffix(".lock")):
        if not (environment / _MARKER).exists():
            _LOG.info("Installing %s into %s", ", ".join(packages), environment)
            shutil.rmtree(environment, ignore_errors=True)
            _make(environment, packages)
    return str(_python(environment))


def _key(packages: Sequence[str]) -> str:
    """Tells environments apart; what the services bring is part of it, because an environment leans on it."""
    brought = sorted(file.name for path in _services_packages() for file in Path(path).glob("*.dist-info"))
    what = json.dumps([services_python(), sys.version, brought, sorted(packages)])
    return hashlib.sha256(what.encode()).hexdigest()[:16]


def _make(environment: Path, packages: Sequence[str]) -> None:
    python = services_python()
    install = _installer(python, environment)
    _run(f"make a virtual environment with {python}", python, "-m", "venv", "--without-pip", str(environment))
    _append_services_packages(environment)
    _run(f"install {', '.join(packages)}", *install, *packages)
    # Written last: an environment without it was never finished.
    (environment / _MARKER).write_text(json.dumps({"services_python": python, "packages": list(packages)}))


def _installer(python: str, environment: Path) -> tuple[str, ...]:
    """The command that installs into an environment: pip of the services' interpreter or of its base's, else uv."""
    target = ("--python", str(_python(environment)))
    for interpreter in (python, _told_by(python, "sys._base_executable")):
        pip = (interpreter, "-m", "pip", "--disable-pip-version-check", "--no-input")
        if subprocess.run((*pip, "--version"), capture_output=True).returncode == 0:
            return (*pip, *target, "install", "--progress-bar", "off")
    uv = shutil.which("uv")
    if uv is not None:
        return (uv, "pip", "install", "--no-progress", *target)
    raise ClipperException(
        f"Packages of models are installed with pip, which {python} has not got, or with uv, which is not on PATH. "
        f"`{python} -m ensurepip` brings pip"
    )


def _append_services_packages(environment: Path) -> None:
    paths = {"base": str(environment), "platbase": str(environment)}
    own_packages = Path(sysconfig.get_path("purelib", scheme="venv", vars=paths))
    # addsitedir, unlike a bare path, honours the .pth files there, by which editable installs work.
    lines = [f"import site; site.addsitedir({path!r})\n" for path in _services_packages()]
    (own_packages / "clipper_services.pth").write_text("".join(lines))


def _services_packages() -> list[str]:
    """The directories that the services' interpreter imports installed packages from."""
    paths = _told_by(services_python(), "[p for p in sys.path if p.endswith(('site-packages', 'dist-packages'))]")
    return [str(path) for path in paths]


def _told_by(python: str, expression: str) -> Any:
    """What an expression of JSON values about `sys` is in another interpreter."""
    program = f"import json, sys; print(json.dumps({expression}))"
    told = subprocess.run((python, "-P", "-c", program), stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(told.stdout)


def _python(environment: Path) -> Path:
    return environment / "bin" / "python"


def _run(purpose: str, *command: str) -> None:
    """Runs a command with its output in the log."""
    last_lines: deque[str] = deque(maxlen=_ERROR_LINES)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout or ():
            last_lines.append(line.rstrip())
            _LOG.info("%s", line.rstrip())
    if process.returncode != 0:
        raise ClipperException(f"Could not {purpose}:\n" + "\n".join(last_lines))


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
