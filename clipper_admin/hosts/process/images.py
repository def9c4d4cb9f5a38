"""Model images of a cluster of local processes: a directory with the model's files and the interpreter that runs them.

{image}/image.json          {"python": "/path/to/bin/python", "model_python": "", "environment": {"NAME": "value"},
                            "claim": "m_1", "fingerprint": "9f.."}
{image}/requirements.lock   what the model finds installed, where it asked for packages
{image}/model/              the model's files

So is a directory that somebody else has made, with a container of their own that keeps the contract:

{image}/image.json          {"command": ["./container", "--fast"], "environment": {"NAME": "value"}}
{image}/model/              the model's files
"""

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clipper_admin.cluster.fingerprints import fingerprint
from clipper_admin.cluster.host import ModelFiles, version_claim
from clipper_admin.exceptions import ClipperException
from clipper_admin.hosts.process import checks, environments
from clipper_admin.hosts.process.directory import flush

_DESCRIPTION = "image.json"
_MODEL = "model"
_EXAMPLE = '{"command": ["./container"]}'
# Shared by who builds, since what is half built is nobody's yet.
_LOCK = "builds.lock"


@dataclass(frozen=True, slots=True)
class Image:
    """What a replica is started from.

    Attributes:
        model: the directory of the model's files.
        command: the program of the model's container, and its arguments.
        model_python: that of the model's own environment, where it has one apart from the container's; else empty.
        environment: variables of its own.
    """

    model: Path
    command: tuple[str, ...]
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
    identity = {"claim": version_claim(files.name, files.version), "fingerprint": fingerprint(files)}
    images.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(home, fcntl.LOCK_SH):
        environment = environments.provide(home, files.packages, files.python)
        described = {
            "python": environment.container_python,
            "model_python": environment.python if environment.is_apart else "",
            "environment": dict(files.environment),
            **identity,
        }
        image = Path(tempfile.mkdtemp(prefix=f"{files.name}_{files.version}-", dir=images))
        try:
            _fill(image, files.path, environment.lock, described)
            if files.check is not None:
                # There the model may write what is not to be in the image.
                checks.outputs(files.path, environment.python, {**surroundings, **files.environment}, files.check)
        except BaseException:
            shutil.rmtree(image)
            raise
        flush(images)
    return image


@contextmanager
def no_builds(home: Path, *, wait: bool = True) -> Iterator[bool]:
    """Whether nobody builds an image under a home, for as long as the context lasts; with `wait` nobody does."""
    try:
        with _locked(home, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB)):
            yield True
    except BlockingIOError:
        yield False


def load(image: str) -> Image:
    """The image in a directory.

    Raises:
        ClipperException: the directory is none.
    """
    try:
        described = description(Path(image))
    except ValueError as error:
        raise ClipperException(f"{image}/{_DESCRIPTION} is no JSON: {error}") from error
    if not described:
        raise ClipperException(
            f"There is no model image at {image}; make one with build_model, or write an {_DESCRIPTION} with the "
            f"command of a container of your own, as {_EXAMPLE}"
        )
    return Image(
        Path(image) / _MODEL,
        _command(Path(image), described),
        described.get("model_python", ""),
        described.get("environment", {}),
    )


def description(image: Path) -> dict[str, Any]:
    """What is written down of an image; {} when it was never finished, or is none."""
    try:
        return dict(json.loads((image / _DESCRIPTION).read_text()))
    except (FileNotFoundError, NotADirectoryError):
        return {}


def packages(image: str) -> list[str]:
    """What the model in an image finds installed, one requirement each.

    Raises:
        ClipperException: the directory is none, or has a container of its own, which does not say.
    """
    load(image)
    lock = Path(image) / environments.LOCK
    if lock.exists():
        return lock.read_text().splitlines()
    if "python" not in description(Path(image)):
        raise ClipperException(f"The image {image} does not say what is installed in it: it has no {environments.LOCK}")
    return environments.services_packages()


def _command(image: Path, described: Mapping[str, Any]) -> tuple[str, ...]:
    if "python" in described:
        # -P keeps the working directory off the import path.
        return described["python"], "-P", "-m", "services.model_container"
    command = described.get("command")
    if not (isinstance(command, list) and command and all(isinstance(word, str) for word in command)):
        raise ClipperException(f"{image / _DESCRIPTION} must have the command of a container, as {_EXAMPLE}")
    if not image.is_absolute():
        raise ClipperException(
            f"Processes of a cluster have a working directory of their own: give the whole path of {image}"
        )
    return _program(image, command[0]), *command[1:]


def _program(image: Path, name: str) -> str:
    """A program of the image's own or, where its name has no slash, one that is looked for on PATH."""
    if "/" not in name:
        return name
    if not os.access(image / name, os.X_OK):
        raise ClipperException(f"{image / _DESCRIPTION} names a program that cannot be run: {image / name}")
    return str(image / name)


def _fill(image: Path, model_data: Path, lock: Path | None, described: Mapping[str, Any]) -> None:
    model = image / _MODEL
    if model_data.is_dir():
        shutil.copytree(model_data, model)
    else:
        model.mkdir()
        shutil.copy2(model_data, model)
    if lock is not None:
        shutil.copy2(lock, image)
    (image / _DESCRIPTION).write_text(json.dumps(described))
    for path in (*image.rglob("*"), image):
        flush(path)


@contextmanager
def _locked(home: Path, operation: int) -> Iterator[None]:
    with (home / _LOCK).open("w") as lock:
        fcntl.flock(lock, operation)
        yield
