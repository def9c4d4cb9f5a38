"""What a container takes: the function, what else the script defines, which packages are in use here, and files."""

import json
import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from clipper_admin.closures import companions, definitions, obstacles, packages
from clipper_admin.closures.pickler import Pickled, pickled
from clipper_admin.exceptions import ClipperException

_LOG = logging.getLogger(__name__)
FUNCTION_FILE = "func.pkl"
_PACKAGES_FILE = "func.packages.json"
_DEFINITIONS_FILE = "main.pkl"


# What the script has beside the function, and what is installed where it is deployed from.
SURROUNDINGS = (_PACKAGES_FILE, _DEFINITIONS_FILE)
# With other names a function is another one.
_INPUT_NAMES_FILE = "func.input_names.json"


class NotSerializable(ClipperException):
    """A function cannot be pickled."""


@contextmanager
def saved(
    func: Any,
    files: Sequence[str | os.PathLike[str]] = (),
    input_names: Sequence[str] = (),
    *,
    by_value: Sequence[ModuleType] = (),
    beside: Callable[[Path], None] | None = None,
) -> Iterator[Path]:
    """A directory with `func` in it, for as long as the context lasts.

    Args:
        func: the function, or an object with such a method `predict`.
        files: paths of files and directories that are to lie beside it, relative to the working directory.
        input_names: by which the function takes its inputs, in their order; empty: it takes rows.
        by_value: modules whose functions and classes travel, though they are installed here.
        beside: writes what else is to lie in the directory.

    Raises:
        NotSerializable: the function cannot be serialised; with what is in the way, and what to do.
        ClipperException: a file cannot travel.
    """
    with tempfile.TemporaryDirectory(suffix="clipper") as directory:
        _LOG.info("Saving function to %s", directory)
        serialized = _serialized(func, by_value)
        (Path(directory) / FUNCTION_FILE).write_bytes(serialized.data)
        (Path(directory) / _DEFINITIONS_FILE).write_bytes(definitions.pickled())
        (Path(directory) / _PACKAGES_FILE).write_text(packages.as_json(serialized.imports))
        if input_names:
            (Path(directory) / _INPUT_NAMES_FILE).write_text(json.dumps(input_names))
        if beside is not None:
            beside(Path(directory))
        companions.copy(files, Path(directory))
        _LOG.info("Serialized and supplied predict function")
        yield Path(directory)


def _serialized(func: Any, by_value: Sequence[ModuleType]) -> Pickled:
    try:
        return pickled(func, by_value=by_value)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise NotSerializable(
            f"The function cannot be serialised: {reason}{obstacles.described(func, pickled)}"
        ) from error
