"""What deployments have left on an engine and nobody uses: images of models.

An image is used while there is a container of it, running or not, or a cluster on the engine has it registered; those
of a cluster that does not run but can be started again all are. Whoever deploys a version has the claim on it: its
images are left alone. So are those that somebody has given another name. What images stand on goes with the last.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import docker
from docker.errors import APIError, ImageNotFound
from docker.models.images import Image

from clipper_admin.cluster import registrations
from clipper_admin.cluster.host import Leftover
from clipper_admin.hosts.docker import labels, plan
from clipper_admin.hosts.docker.claim import Claim
from clipper_admin.hosts.docker.engine import explained
from clipper_admin.logs import ClusterAdapter

_CONFLICT = 409


class Leftovers:
    """The model images on one engine.

    Args:
        client: of the engine.
        address: of the engine's machine.
        logger: of whoever asks.
    """

    def __init__(self, client: docker.DockerClient, address: str, logger: ClusterAdapter) -> None:
        self._client = client
        self._address = address
        self._logger = logger

    def free(self, cluster: str, names: Collection[str] | None = None) -> None:
        """Removes those of a cluster's images that nobody uses: of these names or ids; None: of all."""
        for image in self._images(f"{labels.IMAGE_CLUSTER}={cluster}"):
            if names is None or not {image.id, *image.tags}.isdisjoint(names):
                self._remove_unused(image)

    def prune(self, *, dry_run: bool) -> list[Leftover]:
        """Removes all that nobody uses, of whatever cluster, or only tells of it with `dry_run`."""
        unused = [image for image in self._images() if self._is_left(image)]
        sizes = self._sizes() if unused else {}
        if not dry_run:
            for image in unused:
                self._remove_unused(image)
        return [Leftover(_name(image), "image", sizes.get(str(image.id), 0)) for image in unused]

    def _images(self, label: str = labels.IMAGE_CLUSTER) -> list[Image]:
        with explained("list its images"):
            found = self._client.images.list(filters={"label": label})
        # What somebody has based on one of ours bears its labels, too.
        return [image for image in found if {*image.tags} <= {image.labels.get(labels.IMAGE_NAME)}]

    def _remove_unused(self, image: Image) -> None:
        with self._left(image) as is_left, explained(f"remove the image {_name(image)}"):
            if not is_left:
                return
            try:
                self._client.images.remove(str(image.id))
            except ImageNotFound:
                return
            except APIError as error:
                # It is in use, since a moment ago or by an image that is based on it.
                if error.status_code != _CONFLICT:
                    raise

    def _is_left(self, image: Image) -> bool:
        with self._left(image) as is_left:
            return is_left

    @contextmanager
    def _left(self, image: Image) -> Iterator[bool]:
        """Whether nobody uses an image, nor will for as long as the context lasts."""
        cluster, purpose = image.labels[labels.IMAGE_CLUSTER], image.labels[labels.IMAGE_CLAIM]
        claim = Claim(self._client, cluster, purpose, 0.0, self._logger)
        if claim.is_taken():
            yield False
            return
        with claim.held():
            yield not self._is_used(image)

    def _is_used(self, image: Image) -> bool:
        with explained("list its containers"):
            containers = self._client.api.containers(all=True)
        if any(container["ImageID"] == image.id for container in containers):
            return True
        clusters: dict[str, list[Mapping[str, Any]]] = {}
        for container in containers:
            if labels.CLUSTER in container["Labels"]:
                clusters.setdefault(container["Labels"][labels.CLUSTER], []).append(container)
        return any(self._uses(name, members, image) for name, members in clusters.items())

    def _uses(self, cluster: str, containers: Collection[Mapping[str, Any]], image: Image) -> bool:
        """Whether a cluster that has these containers has an image registered, as far as that can be told."""
        ports = [port for container in containers for port in container["Ports"] or ()]
        admin = [
            port["PublicPort"] for port in ports if port["PrivatePort"] == plan.MANAGEMENT_PORT and "PublicPort" in port
        ]
        registered = registrations.images(f"{self._address}:{admin[0]}") if admin else None
        if registered is None:
            return bool(cluster == image.labels[labels.IMAGE_CLUSTER])
        return not registered.isdisjoint(image.tags)

    def _sizes(self) -> dict[str, int]:
        """What each image on the engine takes by itself."""
        with explained("tell what takes how much of its disk"):
            found = self._client.df()["Images"] or ()
        return {each["Id"]: each["Size"] - max(0, each["SharedSize"]) for each in found}


def _name(image: Image) -> str:
    return str(image.tags[0] if image.tags else image.short_id)
