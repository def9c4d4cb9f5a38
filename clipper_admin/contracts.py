"""The contracts' .proto files, for programs in other languages than Python."""

import shutil
from importlib import resources
from pathlib import Path

from clipper_admin.exceptions import ClipperException

_FILES = "protos"


def write(directory: Path) -> list[Path]:
    """Writes the files, and those that they import, into a directory, which is made; what is there is replaced.

    Returns:
        The files, by name.

    Raises:
        ClipperException: it cannot be written.
    """
    with resources.as_file(resources.files(__package__).joinpath(_FILES)) as source:
        files = sorted(path.relative_to(source) for pattern in ("*.md", "*/*/*.proto") for path in source.glob(pattern))
        try:
            for file in files:
                written = directory / file
                written.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source / file, written)
        except OSError as error:
            raise ClipperException(f"The contracts cannot be written to '{directory}': {error.strerror}") from error
    return [directory / file for file in files]
