"""Functions as files: what a model container loads is what was defined here, with everything it refers to.

Installed packages are referred to by name and must be in the container too (pkgs_to_install). What only exists here,
the notebook and modules of the user's own, travels inside the file.
"""

import logging
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import cloudpickle

from clipper_admin.deployers import definitions
from clipper_admin.exceptions import ClipperException

_LOG = logging.getLogger(__name__)
_FUNCTION_FILE = "func.pkl"
_DEFINITIONS_FILE = "main.pkl"
# Wherever they were imported from, every container has them.
_OWN_PACKAGES = ("clipper", "clipper_admin", "services")


@contextmanager
def saved(func: Callable[..., Any]) -> Iterator[Path]:
    """A directory with `func` in it, for as long as the context lasts.

    Raises:
        ClipperException: the function cannot be serialised.
    """
    with tempfile.TemporaryDirectory(suffix="clipper") as directory:
        _LOG.info("Saving function to %s", directory)
        with _own_modules_by_value():
            try:
                serialized = cloudpickle.dumps(func)
            except Exception as error:
                raise ClipperException(f"The function cannot be serialised: {type(error).__name__}: {error}") from error
            (Path(directory) / _DEFINITIONS_FILE).write_bytes(definitions.pickled())
        (Path(directory) / _FUNCTION_FILE).write_bytes(serialized)
        _LOG.info("Serialized and supplied predict function")
        yield Path(directory)


@contextmanager
def _own_modules_by_value() -> Iterator[None]:
    registered = [module for name, module in list(sys.modules.items()) if _is_own(name, module)]
    for module in registered:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in registered:
            cloudpickle.unregister_pickle_by_value(module)


def _is_own(name: str, module: ModuleType) -> bool:
    """Whether a module is of the user's own: a file that is neither installed nor Python's."""
    file = getattr(module, "__file__", None)
    if file is None or getattr(module, "__name__", None) != name or name == "__main__":
        return False
    if name.partition(".")[0] in _OWN_PACKAGES:
        return False
    path = Path(file)
    installed = {"site-packages", "dist-packages"} & set(path.parts)
    return not installed and not path.is_relative_to(sysconfig.get_path("stdlib"))
