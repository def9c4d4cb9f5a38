"""Model images: a base image with the packages that a model asks for, and the model's files.

The base brings the services' packages and the program; its tag says for which Python, because a function that one
Python has pickled is not for another.
"""

import json
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import docker
from docker.errors import ImageNotFound

from clipper_admin.cluster.host import ModelFiles
from clipper_admin.exceptions import ClipperException
from clipper_admin.hosts.docker import archive
from clipper_admin.hosts.docker.engine import explained, provide_image
from clipper_admin.logs import ClusterAdapter
from clipper_admin.release import __registry__, __version__

DEFAULT_BASE = f"{__registry__}/model-container:{__version__}-py{sys.version_info.major}.{sys.version_info.minor}"
_DOCKERFILE = "Dockerfile"
_MODEL = "model"
_ERROR_LINES = 20
_ARGUMENT = "CLIPPER_MODELS_{}"


def build(
    client: docker.DockerClient,
    logger: ClusterAdapter,
    *,
    tag: str,
    base: str,
    files: ModelFiles,
) -> str:
    """Builds a model image, with the build's output in the log; returns what tells it from a later one of its name.

    Args:
        client: of the engine.
        logger: gets a line for each of the output.
        tag: the image's name.
        base: the name of the image that it is based on.
        files: what it is made of.

    Raises:
        ClipperException: there are no such files, or the build failed; ends with its last lines.
    """
    model_data = files.path
    if not model_data.exists():
        raise ClipperException(f"There is no model data at {model_data}")
    base_user = provide_image(client, base).attrs["Config"].get("User", "")
    with tempfile.TemporaryFile() as context:
        with tarfile.open(fileobj=context, mode="w") as contents:
            archive.add(contents, _DOCKERFILE, dockerfile(base, base_user, files.packages, files.environment).encode())
            archive.add_tree(contents, _MODEL if model_data.is_dir() else f"{_MODEL}/{model_data.name}", model_data)
        context.seek(0)
        with explained(f"build the image {tag}"):
            output = client.api.build(
                fileobj=context,
                custom_context=True,
                tag=tag,
                rm=True,
                forcerm=True,
                decode=True,
                use_config_proxy=True,
                buildargs={_ARGUMENT.format(name): value for name, value in files.environment.items()},
            )
            return follow(output, logger, f"The image {tag} cannot be built")


def remove(client: docker.DockerClient, tag: str) -> None:
    """Removes an image that was built for nothing; one that also has another name stays under that."""
    with explained(f"remove the image {tag}"), suppress(ImageNotFound):
        client.images.remove(tag)


def push(client: docker.DockerClient, logger: ClusterAdapter, tag: str) -> None:
    """Pushes an image to the registry that its name begins with.

    Raises:
        ClipperException: the registry refused or does not answer.
    """
    with explained(f"push the image {tag}"):
        follow(client.api.push(tag, stream=True, decode=True), logger, f"The image {tag} cannot be pushed")


def dockerfile(base: str, base_user: str, packages: Sequence[str], variables: Iterable[str] = ()) -> str:
    """The Dockerfile of a model image; its context has the model's files in `model`, its arguments the variables."""
    lines = [f"FROM {base}"]
    if packages:
        # As a list, so that no shell reads ">" or spaces in a requirement.
        pip = ["pip", "install", "--no-cache-dir", "--progress-bar", "off", "--no-input", *packages]
        lines += ["USER root", f"RUN {json.dumps(pip)}", f"USER {base_user or 'root'}"]
    for name in variables:
        # A value in the Dockerfile itself could not have more than one line.
        lines += [f"ARG {_ARGUMENT.format(name)}", f'ENV {name}="${{{_ARGUMENT.format(name)}}}"']
    lines.append(f"COPY {_MODEL}/ /{_MODEL}/")
    return "\n".join(lines) + "\n"


def follow(output: Iterable[Mapping[str, Any]], logger: ClusterAdapter, failure: str) -> str:
    """Logs what a build or a push says, line by line, until its end; returns the id of what was built.

    Raises:
        ClipperException: it failed; begins with `failure` and ends with its last lines.
    """
    said: list[str] = []
    built = ""
    for message in output:
        if "error" in message:
            raise ClipperException("\n".join([f"{failure}: {message['error']}", *said[-_ERROR_LINES:]]))
        built = message.get("aux", {}).get("ID", built)
        # What has an id is the progress of one layer.
        text = message.get("stream") or ("" if "id" in message else message.get("status", ""))
        for line in filter(None, map(str.rstrip, text.splitlines())):
            said.append(line)
            logger.info("%s", line)
    return built
