"""Model images of a cluster of local processes: a directory with the model's files and the interpreter that runs them.

{image}/image.json      {"python": "/path/to/bin/python"}
{image}/model/          the model's files
"""

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

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
        python: the interpreter that has the model's packages.
    """

    model: Path
    python: str


def build(images: Path, home: Path, name: str, version: str, model_data: Path, packages: Sequence[str]) -> Path:
    """Makes an image, which outlives a power cut; a later one of the same name and version leaves it alone.

    Args:
        images: where images are kept.
        home: where environments are kept.
        name: the model's name.
        version: its version.
        model_data: a directory of model files, or one file.
        packages: what the model needs, as pip takes it.

    Raises:
        ClipperException: there are no such files, or a package cannot be installed.
    """
    if not model_data.exists():
        raise ClipperException(f"There is no model data at {model_data}")
    python = environments.provide(home, packages)
    images.mkdir(mode=0o700, parents=True, exist_ok=True)
    image = Path(tempfile.mkdtemp(prefix=f"{name}_{version}-", dir=images))
    model = image / _MODEL
    if model_data.is_dir():
        shutil.copytree(model_data, model)
    else:
        model.mkdir()
        shutil.copy2(model_data, model)
    (image / _DESCRIPTION).write_text(json.dumps({"python": python}))
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
    return Image(Path(image) / _MODEL, description["python"])
