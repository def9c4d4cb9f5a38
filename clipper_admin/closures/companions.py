"""Files that travel beside a function, where it finds them by the paths that they have here.

A path is relative to the working directory, in a notebook that of the notebook, and stays below it: in the container it
is relative to the model's directory, which is the working directory there.
"""

import os
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path

from clipper_admin.exceptions import ClipperException


def copy(files: Sequence[str | os.PathLike[str]], directory: Path) -> None:
    """Copies files, and directories with all that is in them, to their paths below a directory.

    Raises:
        ClipperException: a path leads elsewhere, nothing is there, or something of this name is in the directory.
    """
    if isinstance(files, str | os.PathLike):
        raise ClipperException(f"files must be a list of paths; one of them is files=[{os.fspath(files)!r}]")
    taken = {*directory.iterdir()}
    for file in files:
        path = Path(file)
        _check(path)
        try:
            _copy(path, directory / path, taken)
        except (OSError, shutil.Error) as error:
            raise ClipperException(f"'{path}' in files cannot be copied: {error}") from error


def _check(path: Path) -> None:
    if path.is_absolute():
        relative = os.path.relpath(path)
        remedy = "" if relative.startswith(os.pardir) else f": files=['{relative}'], open('{relative}')"
        raise ClipperException(
            f"'{path}' in files is absolute, and such a path leads elsewhere in a container. Name the file relative to "
            f"the working directory, {Path.cwd()}, and open it by that path in the function{remedy}"
        )
    if os.pardir in path.parts:
        raise ClipperException(
            f"'{path}' in files leads out of the working directory, {Path.cwd()}; what travels lies below it"
        )
    if not path.exists():
        raise ClipperException(f"There is no '{path}', which files names, in the working directory, {Path.cwd()}")


def _copy(source: Path, target: Path, taken: Collection[Path]) -> None:
    if target in taken:
        raise FileExistsError(f"the model's directory has a '{target.name}' of its own; give yours another name")
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        for each in source.iterdir():
            _copy(each, target / each.name, taken)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
