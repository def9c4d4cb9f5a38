"""Model images of a cluster of local processes: a directory with the model's files and the interpreter that runs them.

{image}/image.json          {"python": "/path/to/bin/python", "model_python": "", "environment": {"NAME": "value"}}
{image}/requirements.lock   what the model finds installed, where it asked for packages
{image}/model/              the model's files
"""

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from clipper_admin.cluster.host import ModelFiles
from clipper_admin.exceptions import ClipperException
from clipper_admin.hosts.process import checks, environments
from clipper_admin.hosts.process.directory import flush
from clipper_admin.hosts.process.environments import Environment

_DESCRIPTION = "image.json"
_MODEL = "model"


@dataclass(frozen=True, slots=True)
class Image:
    """What a replica is started from.

    Attributes:
        model: the directory of the model's files.
        python: the interpreter that runs the model's container.
        model_python: that of the model's own environment, where it has one apart from the container's; else empty.
        environment: variables of its own.
    """

    model: Path
    python: str
    model_python: str
    environment: Mapping[str, str]


def build(images: Path, home: Path, files: ModelFiles, surroundings: Mapping[str, str]) -> Path:
    """Makes an image, which outlives a power cut; a later one of the same name and version leaves it alone.

    Args:
        images: where images are kept.
        home: where environments are kept.
        files: what it is made of.
        surroundings: what replicas find in their environment beside its own variables.

    Raises:
        ClipperException: there are no such files, a package cannot be installed, or the model does not pass its check.
    """
    if not files.path.exists():
        raise ClipperException(f"There is no model data at {files.path}")
    environment = environments.provide(home, files.packages, files.python)
    images.mkdir(mode=0o700, parents=True, exist_ok=True)
    image = Path(tempfile.mkdtemp(prefix=f"{files.name}_{files.version}-", dir=images))
    try:
        _fill(image, files, environment)
        if files.check is not None:
            # There the model may write what is not to be in the image.
            checks.outputs(files.path, environment.python, {**surroundings, **files.environment}, files.check)
    except BaseException:
        shutil.rmtree(image)
        raise
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
    return Image(
        Path(image) / _MODEL,
        description["python"],
        description.get("model_python", ""),
        description.get("environment", {}),
    )


def _fill(image: Path, files: ModelFiles, environment: Environment) -> None:
    model = image / _MODEL
    if files.path.is_dir():
        shutil.copytree(files.path, model)
    else:
        model.mkdir()
        shutil.copy2(files.path, model)
    if environment.lock is not None:
        shutil.copy2(environment.lock, image)
    description = {
        "python": environment.container_python,
        "model_python": environment.python if environment.is_apart else "",
        "environment": dict(files.environment),
    }
    (image / _DESCRIPTION).write_text(json.dumps(description))
