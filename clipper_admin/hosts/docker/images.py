"""Model images: a base image with the packages that a model asks for, and the model's files.

The base brings the services' packages and the program; its tag says for which Python, because a function that one
Python has pickled is not for another.
"""

import json
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import docker
from docker.errors import ImageNotFound

from clipper_admin.cluster.fingerprints import fingerprint
from clipper_admin.cluster.host import ModelFiles, version_claim
from clipper_admin.exceptions import ClipperException
from clipper_admin.hosts.docker import archive, labels
from clipper_admin.hosts.docker.engine import explained, provide_image
from clipper_admin.logs import ClusterAdapter
from clipper_admin.release import __registry__, __version__

DEFAULT_BASE = f"{__registry__}/model-container:{__version__}-py{sys.version_info.major}.{sys.version_info.minor}"
_DEFAULT = "default"
_DOCKERFILE = "Dockerfile"
_MODEL = "model"
_ERROR_LINES = 20


def build(client: docker.DockerClient, logger: ClusterAdapter, cluster: str, files: ModelFiles) -> tuple[str, str]:
    """Builds a model image, with the build's output in the log.

    Args:
        client: of the engine.
        logger: gets a line for each of the output.
        cluster: for which it is built.
        files: what it is made of.

    Returns:
        The image's name, and what tells it from a later one of that name.

    Raises:
        ClipperException: there are no such files, or the build failed; ends with its last lines.
    """
    repository = f"{cluster}-{files.name}:{'.'.join(filter(None, (files.version, files.edition)))}"
    tag = f"{files.registry}/{repository}" if files.registry else repository
    base = DEFAULT_BASE if files.base == _DEFAULT else files.base
    written = {
        labels.IMAGE_CLUSTER: cluster,
        labels.IMAGE_NAME: tag,
        labels.IMAGE_CLAIM: version_claim(files.name, files.version),
        labels.IMAGE_FINGERPRINT: fingerprint(files),
    }
    base_user = provide_image(client, base).attrs["Config"].get("User", "")
    with tempfile.TemporaryFile() as context:
        with tarfile.open(fileobj=context, mode="w") as contents:
            archive.add(contents, _DOCKERFILE, dockerfile(base, base_user, files.packages).encode())
            archive.add_tree(contents, _MODEL if files.path.is_dir() else f"{_MODEL}/{files.path.name}", files.path)
        context.seek(0)
        with explained(f"build the image {tag}"):
            output = client.api.build(
                fileobj=context,
                custom_context=True,
                tag=tag,
                labels=written,
                rm=True,
                forcerm=True,
                decode=True,
                use_config_proxy=True,
            )
            return tag, follow(output, logger, f"The image {tag} cannot be built")


def fingerprint_of(client: docker.DockerClient, image: str) -> str:
    """What tells the code in an image from other code; "" when the engine lacks it, or it was not built here."""
    with explained(f"look at the image {image}"):
        try:
            return str(client.images.get(image).labels.get(labels.IMAGE_FINGERPRINT, ""))
        except ImageNotFound:
            return ""


def push(client: docker.DockerClient, logger: ClusterAdapter, tag: str) -> None:
    """Pushes an image to the registry that its name begins with.

    Raises:
        ClipperException: the registry refused or does not answer.
    """
    with explained(f"push the image {tag}"):
        follow(client.api.push(tag, stream=True, decode=True), logger, f"The image {tag} cannot be pushed")


def dockerfile(base: str, base_user: str, packages: Sequence[str]) -> str:
    """The Dockerfile of a model image; its context has the model's files in `model`."""
    lines = [f"FROM {base}"]
    if packages:
        # As a list, so that no shell reads ">" or spaces in a requirement.
        pip = ["pip", "install", "--no-cache-dir", "--progress-bar", "off", "--no-input", *packages]
        lines += ["USER root", f"RUN {json.dumps(pip)}", f"USER {base_user or 'root'}"]
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
