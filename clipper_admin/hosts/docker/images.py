"""Model images: a base image with the packages that a model asks for, and the model's files."""

import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import docker
from docker.errors import ImageNotFound

from clipper_admin.cluster.fingerprints import fingerprint
from clipper_admin.cluster.host import ModelFiles, version_claim
from clipper_admin.exceptions import ClipperException
from clipper_admin.hosts.docker import archive, bases, dockerfiles, labels
from clipper_admin.hosts.docker.engine import explained
from clipper_admin.logs import ClusterAdapter

_DOCKERFILE = "Dockerfile"
_ERROR_LINES = 20


def build(client: docker.DockerClient, logger: ClusterAdapter, *, cluster: str, tag: str, files: ModelFiles) -> str:
    """Builds a model image, with the build's output in the log; returns what tells it from a later one of its name.

    Packages that do not agree with the container's get an environment of their own in it, as does another Python.

    Args:
        client: of the engine.
        logger: gets a line for each of the output.
        cluster: for which it is built.
        tag: the image's name.
        files: what it is made of.

    Raises:
        ClipperException: there are no such files, or the build failed; ends with its last lines.
    """
    written = {
        labels.IMAGE_CLUSTER: cluster,
        labels.IMAGE_NAME: tag,
        labels.IMAGE_CLAIM: version_claim(files.name, files.version),
        labels.IMAGE_FINGERPRINT: fingerprint(files),
    }
    base = bases.choose(client, files.base, files.python)

    def built(dockerfile: str) -> str:
        return _build(client, logger, tag, dockerfile, files, written)

    if base.foreign_python:
        return built(dockerfiles.apart(base, files.packages))
    if not files.packages:
        return built(dockerfiles.without_packages(base))
    try:
        return built(dockerfiles.together(base, files.packages))
    except ClipperException:
        # Either they do not agree, or the packages cannot be had, which is told by the next attempt.
        logger.info("Trying without the container's packages, in an environment apart")
    return built(dockerfiles.apart(base, files.packages))


def _build(
    client: docker.DockerClient,
    logger: ClusterAdapter,
    tag: str,
    dockerfile: str,
    files: ModelFiles,
    written: Mapping[str, str],
) -> str:
    with tempfile.TemporaryFile() as context:
        end = dockerfiles.variables(files.environment) + dockerfiles.labels(written)
        _write_context(context, dockerfile + end, files.path)
        with explained(f"build the image {tag}"):
            output = client.api.build(
                fileobj=context,
                custom_context=True,
                tag=tag,
                rm=True,
                forcerm=True,
                decode=True,
                use_config_proxy=True,
                buildargs={dockerfiles.ARGUMENT.format(name): value for name, value in files.environment.items()},
            )
            return follow(output, logger, f"The image {tag} cannot be built")


def remove(client: docker.DockerClient, tag: str) -> None:
    """Removes an image that was built for nothing; one that also has another name stays under that."""
    with explained(f"remove the image {tag}"), suppress(ImageNotFound):
        client.images.remove(tag)


def fingerprint_of(client: docker.DockerClient, image: str) -> str:
    """What tells the code in an image from other code; "" when the engine lacks it, or it was not built here."""
    with explained(f"look at the image {image}"):
        try:
            return str(client.images.get(image).labels.get(labels.IMAGE_FINGERPRINT, ""))
        except ImageNotFound:
            return ""


def _write_context(context: IO[bytes], dockerfile: str, model_data: Path) -> None:
    with tarfile.open(fileobj=context, mode="w") as contents:
        archive.add(contents, _DOCKERFILE, dockerfile.encode())
        path = dockerfiles.MODEL if model_data.is_dir() else f"{dockerfiles.MODEL}/{model_data.name}"
        archive.add_tree(contents, path, model_data)
    context.seek(0)


def push(client: docker.DockerClient, logger: ClusterAdapter, tag: str) -> None:
    """Pushes an image to the registry that its name begins with.

    Raises:
        ClipperException: the registry refused or does not answer.
    """
    with explained(f"push the image {tag}"):
        follow(client.api.push(tag, stream=True, decode=True), logger, f"The image {tag} cannot be pushed")


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
