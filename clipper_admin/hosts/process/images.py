"""Model images of a cluster of local processes: a directory with the model's files and the interpreter that runs them.

{image}/image.json          {"python": "/path/to/bin/python", "model_python": ""}
{image}/requirements.lock   what the model finds installed, where it asked for packages
{image}/model/              the model's files
"""

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from clipper_admin.cluster.host import ModelFiles
from clipper_admin.exceptions import ClipperException
from clipper_admin.hosts.process import environments
from clipper_admin.hosts.process.directory import flush

_DESCRIPTION = "image.json"
_MODEL = "model"


@dataclass(frozen=True, slots=True)
class Image:
    """What a replica is started from.

    Attributes:
        model: the directory of the model's files.
        python: the interpreter that runs the model's container.
        model_python: that of the model's own environment, where it has one apart from the container's; else empty.
    """

    model: Path
    python: str
    model_python: str


def build(images: Path, home: Path, files: ModelFiles) -> Path:
    """Makes an image, which outlives a power cut; a later one of the same name and version leaves it alone.

    Args:
        images: where images are kept.
        home: where environments are kept.
        files: what it is made of.

    Raises:
        ClipperException: there are no such files, or a package cannot be installed.
    """
    if not files.path.exists():
        raise ClipperException(f"There is no model data at {files.path}")
    environment = environments.provide(home, files.packages, files.python)
    images.mkdir(mode=0o700, parents=True, exist_ok=True)
    image = Path(tempfile.mkdtemp(prefix=f"{files.name}_{files.version}-", dir=images))
    model = image / _MODEL
    if files.path.is_dir():
        shutil.copytree(files.path, model)
    else:
        model.mkdir()
        shutil.copy2(files.path, model)
    if environment.lock is not None:
        shutil.copy2(environment.lock, image)
    model_python = environment.python if environment.is_apart else ""
    description = {"python": environment.container_python, "model_python": model_python}
    (image / _DESCRIPTION).write_text(json.dumps(description))
    for path in (*image.rglob("*"), image, images):
        flush(path)
    return image


def load(image: str) -> Image:
    """The image in a directory.

    Raises:
        ClipperException: the directory is none.
    """
    try:
        description = json.loads((Path(image) / _DESCRIPTION).read_text())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ClipperException(f"There is no model image at {image}; make one with build_model") from error
    return Image(Path(image) / _MODEL, description["python"], description.get("model_python", ""))
