"""Python environments of models, kept under the home and shared by all models that ask for the same.

A model runs in its container's process as long as what it asks for agrees with what the container is made of. Then its
environment is a virtual environment whose import path ends with the site-packages of the interpreter that runs the
services, so that what those bring (numpy, grpcio) is neither downloaded nor stored again, and what the model asks for
wins. Whether it agrees the resolver says: it is asked for the model's packages with the container's for constraints.

If they do not agree, or the model is of another Python, its environment has nothing of the services but the program
that runs the model in a process of its own, and what that imports, in whatever version suits the model.

{environment}/clipper-environment.json  how it was made; written last
{environment}/requirements.lock         what a model finds in it, as pip takes it
{environment}/kept                      there if somebody has made it to run programs of their own with it
"""

import fcntl
import hashlib
import json
import logging
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from clipper_admin.cluster.plan import RUNTIME_PACKAGES
from clipper_admin.exceptions import ClipperException
from clipper_admin.hosts.process.installers import Installer

_LOG = logging.getLogger(__name__)
_MARKER = "clipper-environment.json"
LOCK = "requirements.lock"
_CONSTRAINTS = "constraints.txt"
_KEPT = "kept"

# What a model container is made of, with all that these need.
_CONTAINER_PACKAGES = (
    *("grpcio", "grpcio-health-checking", "grpcio-reflection", "grpcio-status"),
    *("cloudpickle", "numpy", "orjson"),
)
_OLDEST_PYTHON = (3, 11)
_TELL_VERSION = "import sys; print(*sys.version_info[:2])"
_PROGRAM = Path(__file__).parents[3] / "services"


@dataclass(frozen=True, slots=True)
class Environment:
    """Where a model runs.

    Attributes:
        python: the interpreter that has the model's packages, and can run `services.model_runtime`.
        container_python: the interpreter that runs the model's container; it is the same one when they agree.
        lock: what a model finds in it, one requirement a line; None: what the services have.
    """

    python: str
    container_python: str
    lock: Path | None = None

    @property
    def is_apart(self) -> bool:
        """Whether the model has a process of its own."""
        return self.python != self.container_python


def services_python() -> str:
    """The interpreter that runs the services: this one or, in a model's environment, the one that it is based on."""
    try:
        return str(json.loads((Path(sys.prefix) / _MARKER).read_text())["services_python"])
    except FileNotFoundError:
        return sys.executable


def provide(home: Path, packages: Sequence[str], python: str = "", *, keep: bool = False) -> Environment:
    """An environment that has `packages`, made if there is none yet.

    Args:
        home: where environments are kept.
        packages: requirements as pip takes them; without any the services' own interpreter will do.
        python: the model's, as in "3.12" or the path of an interpreter; empty: that of the services.
        keep: whether it stays when models need it no longer.

    Raises:
        ClipperException: there is no such interpreter, there is neither pip nor uv, or a package cannot be installed;
            ends with the installer's last lines.
    """
    is_foreign = bool(python) and not _is_services_version(python)
    if not packages and not is_foreign:
        return Environment(services_python(), services_python())
    environments = home / "environments"
    environments.mkdir(mode=0o700, parents=True, exist_ok=True)
    environment = environments / _key(packages, python if is_foreign else "")
    with _locked(environment.with_suffix(".lock")):
        if not (environment / _MARKER).exists():
            _LOG.info("Installing %s into %s", ", ".join(packages) or f"for Python {python}", environment)
            is_apart = _make(environment, packages, python if is_foreign else "")
            # Written last: an environment without it was never finished.
            made = {"services_python": services_python(), "packages": list(packages), "is_apart": is_apart}
            (environment / _MARKER).write_text(json.dumps(made))
        if keep:
            (environment / _KEPT).touch()
    return _made(environment)


def services_packages() -> list[str]:
    """What a model without packages of its own finds, one requirement each: what the services have."""
    return _found_in(*_services_directories())


def is_kept(environment: Path) -> bool:
    """Whether an environment stays when models need it no longer."""
    return (environment / _KEPT).exists()


def _made(environment: Path) -> Environment:
    is_apart = json.loads((environment / _MARKER).read_text())["is_apart"]
    python = str(_python(environment))
    return Environment(python, services_python() if is_apart else python, environment / LOCK)


def _key(packages: Sequence[str], python: str) -> str:
    """Tells environments apart; what the services bring is part of it, because an environment leans on it."""
    brought = sorted(file.name for path in _services_directories() for file in Path(path).glob("*.dist-info"))
    what = json.dumps([services_python(), sys.version, brought, sorted(packages), python])
    return hashlib.sha256(what.encode()).hexdigest()[:16]


def _make(environment: Path, packages: Sequence[str], foreign_python: str) -> bool:
    """Makes an environment; returns whether it is apart from the services'."""
    python = services_python()
    installer = Installer(python, _told_by(python, "sys._base_executable"))
    if not foreign_python:
        try:
            _make_together(environment, packages, installer)
        except ClipperException:
            # Either they do not agree, or the packages cannot be had, which is told by the next attempt.
            _LOG.info("Trying without the container's packages, in an environment apart")
        else:
            return False
    _make_apart(environment, packages, foreign_python or python, installer)
    return True


def _make_together(environment: Path, packages: Sequence[str], installer: Installer) -> None:
    shutil.rmtree(environment, ignore_errors=True)
    installer.make(environment, services_python())
    own_packages = _own_packages(environment)
    # addsitedir, unlike a bare path, honours the .pth files there, by which editable installs work.
    lines = [f"import site; site.addsitedir({path!r})\n" for path in _services_directories()]
    (own_packages / "clipper_services.pth").write_text("".join(lines))
    constraints = environment / _CONSTRAINTS
    constraints.write_text("".join(f"{pin}\n" for pin in _container_pins()))
    installer.install(str(_python(environment)), packages, constraints=constraints)
    _write_lock(environment, str(own_packages), *_services_directories())


def _make_apart(environment: Path, packages: Sequence[str], python: str, installer: Installer) -> None:
    shutil.rmtree(environment, ignore_errors=True)
    installer.make(environment, python)
    own_packages = _own_packages(environment)
    (own_packages / _PROGRAM.name).symlink_to(_PROGRAM)
    installer.install(str(_python(environment)), packages, besides=RUNTIME_PACKAGES)
    _write_lock(environment, str(own_packages))


def _write_lock(environment: Path, *directories: str) -> None:
    (environment / LOCK).write_text("".join(f"{requirement}\n" for requirement in _found_in(*directories)))


def _found_in(*directories: str) -> list[str]:
    """What is installed in directories of packages, of which the first one that has a package wins."""
    found: dict[str, str] = {}
    for each in distributions(path=[*directories]):
        found.setdefault(each.name.lower().replace("_", "-"), f"{each.name}=={each.version}")
    return sorted(found.values())


def _container_pins() -> list[str]:
    """What the container is made of, each in the version that the services' interpreter has."""
    pins: dict[str, str] = {}
    waiting = [*_CONTAINER_PACKAGES]
    while waiting:
        name = waiting.pop()
        for found in distributions(name=name, path=_services_directories()):
            if name not in pins:
                pins[name] = f"{found.name}=={found.version}"
                waiting += map(_name_in, filter(_is_needed, found.requires or ()))
    return sorted(pins.values())


def _is_needed(requirement: str) -> bool:
    return "extra ==" not in requirement


def _name_in(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0]


def _services_directories() -> list[str]:
    """The directories that the services' interpreter imports installed packages from."""
    paths = _told_by(services_python(), "[p for p in sys.path if p.endswith(('site-packages', 'dist-packages'))]")
    return [str(path) for path in paths]


def _is_services_version(python: str) -> bool:
    """Whether a version, or an interpreter's, is that of the services', as far as pickles go."""
    version = _version(python)
    if version < _OLDEST_PYTHON:
        raise ClipperException(f"A model runs on Python 3.11 or newer, not on {version[0]}.{version[1]} ({python})")
    return version == _version(services_python())


def _version(python: str) -> tuple[int, int]:
    """The version that a text names, or that an interpreter has."""
    if written := re.fullmatch(r"(\d+)\.(\d+)", python):
        return int(written[1]), int(written[2])
    try:
        told = subprocess.run((python, "-I", "-c", _TELL_VERSION), stdout=subprocess.PIPE, check=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise ClipperException(f"'{python}' is no interpreter; name a version, as in '3.12', or a program") from error
    major, minor = told.stdout.split()
    return int(major), int(minor)


def _told_by(python: str, expression: str) -> Any:
    """What an expression of JSON values about `sys` is in another interpreter."""
    program = f"import json, sys; print(json.dumps({expression}))"
    told = subprocess.run((python, "-P", "-c", program), stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(told.stdout)


def _own_packages(environment: Path) -> Path:
    [packages] = environment.glob("lib/python3*/site-packages")
    return packages


def _python(environment: Path) -> Path:
    return environment / "bin" / "python"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
