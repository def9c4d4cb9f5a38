"""Whether two models run the same code, told by a fingerprint of the files, packages and base that images are made of.

What the script of a function has beside it does not count: a notebook in which more was defined meanwhile deploys the
same function.
"""

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from clipper_admin import closures
from clipper_admin.cluster.host import ModelFiles
from clipper_admin.exceptions import ClipperException

# What a version is called, where it is kept and how it is checked changes nothing in what it does.
_NAMES = ("name", "version", "path", "registry", "edition", "check")


def fingerprint(files: ModelFiles) -> str:
    """What tells this code from other code.

    Raises:
        ClipperException: there are no such files.
    """
    if not files.path.exists():
        raise ClipperException(f"There is no model data at {files.path}")
    hashed = hashlib.sha256()
    for name, content in _contents(files.path):
        hashed.update(f"{name}:{content}\n".encode(errors="surrogateescape"))
    for field in dataclasses.fields(files):
        if field.name not in _NAMES:
            value = getattr(files, field.name)
            hashed.update(f"{field.name}={sorted(value.items()) if isinstance(value, Mapping) else value!r}\n".encode())
    return hashed.hexdigest()


def _contents(path: Path) -> Iterator[tuple[str, str]]:
    """The files under a path, by their places, in order, each with what tells its content from others."""
    for file in [path] if path.is_file() else sorted(path.rglob("*")):
        if file.name == closures.FUNCTION_FILE:
            yield file.name, closures.fingerprint(file.read_bytes())
        elif file.is_file() and file.name not in closures.SURROUNDINGS:
            with file.open("rb") as content:
                yield str(file.relative_to(path)), hashlib.file_digest(content, "sha256").hexdigest()
