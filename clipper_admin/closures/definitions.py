"""What this interpreter's `__main__` defines: its functions and classes, for those who know them only by their names.

A function that is deployed takes along what it refers to. A pickle in a file refers to the classes of the script that
wrote it by their names, and nothing in a function tells.
"""

import functools
import pickle
import sys
from collections.abc import Iterator
from types import FunctionType
from typing import Any

from clipper_admin.closures import pickler

_MAIN = "__main__"
# More than that is data that a function refers to, as one that trains does.
_LARGEST_BYTES = 1 << 20
_KINDS = (FunctionType, type, functools._lru_cache_wrapper)


def pickled() -> bytes:
    """By its name the pickle of each function and class that can be pickled by itself and is no larger than 1 MiB."""
    found = {name: _pickled(definition) for name, definition in _definitions()}
    return pickle.dumps({name: content for name, content in found.items() if content is not None})


def _definitions() -> Iterator[tuple[str, Any]]:
    for name, value in list(vars(sys.modules[_MAIN]).items()):
        if isinstance(value, _KINDS) and value.__module__ == _MAIN:
            yield name, value


def _pickled(definition: Any) -> bytes | None:
    try:
        return pickler.pickled(definition, _LARGEST_BYTES).data
    # It is not what is deployed, and most probably nobody asks for it.
    except Exception:
        return None
