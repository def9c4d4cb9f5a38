"""The Docker engine: one client, and what it refuses in its own words."""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import docker
import requests
from docker.constants import DEFAULT_TIMEOUT_SECONDS
from docker.errors import APIError, DockerException, ImageNotFound
from docker.models.images import Image
from docker.utils import parse_host

from clipper_admin.exceptions import ClipperException

_LOG = logging.getLogger(__name__)
_SOCKET = "http+unix://"


def connect() -> docker.DockerClient:
    """A client of the engine that DOCKER_HOST names, or of this machine's.

    Raises:
        ClipperException: it does not answer.
    """
    try:
        _dial_socket(str(parse_host(os.environ.get("DOCKER_HOST"))))
        return docker.from_env()
    except (DockerException, requests.RequestException) as error:
        raise ClipperException(
            f"No Docker engine answers: {error}. Start one or set DOCKER_HOST; ProcessContainerManager runs the same "
            "cluster without Docker"
        ) from error


@contextmanager
def explained(action: str) -> Iterator[None]:
    """What the engine refuses within the context is a ClipperException: "Docker could not {action}: ..."."""
    try:
        yield
    except APIError as error:
        raise ClipperException(f"Docker could not {action}: {error.explanation or error}") from error
    except (DockerException, requests.RequestException) as error:
        raise ClipperException(f"Docker could not {action}: {error}") from error


def provide_image(client: docker.DockerClient, name: str) -> Image:
    """The image of this name, pulled if the engine does not have it.

    Raises:
        ClipperException: it cannot be pulled.
    """
    with explained(f"provide the image {name}"):
        try:
            return client.images.get(name)
        except ImageNotFound:
            _LOG.info("Pulling %s", name)
    try:
        return client.images.pull(name) if _has_tag(name) else client.images.pull(name, tag="latest")
    except (DockerException, requests.RequestException) as error:
        explanation = error.explanation if isinstance(error, APIError) else error
        raise ClipperException(
            f"The Docker engine neither has the image {name} nor can pull it: {explanation}. "
            "`make images` builds Clipper's own"
        ) from error


def _dial_socket(address: str) -> None:
    """Finds out whether somebody listens on the engine's socket; the Docker library leaves its own open if nobody does.

    Raises:
        DockerException: nobody does.
    """
    if not address.startswith(_SOCKET):
        return
    path = address.removeprefix(_SOCKET)
    with socket.socket(socket.AF_UNIX) as attempt:
        attempt.settimeout(DEFAULT_TIMEOUT_SECONDS)
        try:
            attempt.connect(path)
        except OSError as error:
            raise DockerException(f"{path}: {error.strerror or error}") from error


def _has_tag(name: str) -> bool:
    return ":" in name.rpartition("/")[2]
