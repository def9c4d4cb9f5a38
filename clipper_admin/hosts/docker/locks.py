"""Locks: what is installed in an image for its model, as it was written down when the image was built."""

from contextlib import suppress

import docker
from docker.errors import NotFound
from docker.models.containers import Container

from clipper_admin.exceptions import ClipperException
from clipper_admin.hosts.docker import archive, dockerfiles, labels
from clipper_admin.hosts.docker.engine import explained, provide_image
from clipper_admin.hosts.docker.labels import Role


def read(client: docker.DockerClient, cluster: str, image: str) -> list[str]:
    """The lock of an image or, where the model has no packages of its own, of the image that it is based on.

    Args:
        client: of the engine.
        cluster: for which the image was built.
        image: its name or id.

    Raises:
        ClipperException: it has no lock, or there is no such image.
    """
    found = provide_image(client, image)
    own, base = dockerfiles.LOCK, found.labels.get(labels.CONSTRAINTS)
    with explained(f"look into the image {image}"):
        # A container that never runs. If this program is killed now, the cluster's end removes it.
        marks = {labels.CLUSTER: cluster, labels.ROLE: Role.REPLICA.value}
        container = client.containers.create(str(found.id), "true", labels=marks, network_mode="none")
        try:
            lock = _file(container, own) or (base and _file(container, base))
        finally:
            with suppress(NotFound):
                container.remove()
    if not lock:
        raise ClipperException(f"The image {image} does not say what is installed in it: it has no {own}")
    return lock.decode().splitlines()


def _file(container: Container, path: str) -> bytes:
    """The content of a file; empty if there is none."""
    try:
        chunks, _attributes = container.get_archive(path)
    except NotFound:
        return b""
    return archive.content(chunks)
