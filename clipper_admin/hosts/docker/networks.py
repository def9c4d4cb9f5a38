"""The networks of a cluster: the one that clusters and their user share, and the one that keeps Redis apart."""

import contextlib
from collections.abc import Collection

import docker
from docker.errors import APIError
from docker.models.networks import Network

from clipper_admin.exceptions import ClipperException
from clipper_admin.hosts.docker import labels
from clipper_admin.hosts.docker.engine import explained

# Docker's own, on which containers do not find each other by name.
_UNUSABLE = ("host", "bridge", "none", "default")


def check_usable(name: str) -> str:
    """Returns `name` if it can be that of a cluster's shared network.

    Raises:
        ClipperException: it is one of Docker's own.
    """
    if name in _UNUSABLE:
        raise ClipperException(
            f"DockerContainerManager cannot use the Docker network '{name}': on it containers do not find each other "
            "by name. Please name another network; it is made if there is none"
        )
    return name


class Networks:
    """The networks of one cluster.

    Attributes:
        shared: the name of the one that all containers but Redis are on.
        store: the name of the one that only Redis and who needs it are on.
    """

    def __init__(self, client: docker.DockerClient, cluster_name: str, shared: str) -> None:
        self._client = client
        self._cluster_name = cluster_name
        self.shared = shared
        self.store = f"{shared}.{cluster_name}.store"

    def create(self) -> None:
        """Makes what is missing."""
        if self._find(self.shared) is None:
            # Two clusters may start at the same time.
            with contextlib.suppress(ClipperException):
                self._create(self.shared, {labels.SHARED_NETWORK: ""})
        if self._find(self.store) is None:
            self._create(self.store, {labels.CLUSTER: self._cluster_name}, internal=True)

    def of_replicas(self, managements: Collection[str]) -> str:
        """The name of the network that replicas join.

        Args:
            managements: the names of the networks that management is on.
        """
        # Who else runs the services may have labelled another than the shared one for it.
        labelled = [network.name for network in self._with_label(labels.REPLICAS_NETWORK)]
        return next((str(name) for name in labelled if name in managements), self.shared)

    def remove(self) -> None:
        """Removes the cluster's own, and the shared one if a cluster made it and nobody is on it any more."""
        for network in self._with_label(f"{labels.CLUSTER}={self._cluster_name}"):
            with explained(f"remove the network {network.name}"):
                network.remove()
        shared = self._find(self.shared)
        if shared is not None and labels.SHARED_NETWORK in (shared.attrs["Labels"] or {}):
            with contextlib.suppress(APIError):
                shared.remove()

    def _create(self, name: str, network_labels: dict[str, str], internal: bool = False) -> None:
        with explained(f"create the network {name}"):
            self._client.networks.create(
                name, driver="bridge", check_duplicate=True, internal=internal, labels=network_labels
            )

    def _with_label(self, label: str) -> list[Network]:
        with explained("list its networks"):
            return self._client.networks.list(filters={"label": label})

    def _find(self, name: str) -> Network | None:
        # The engine's own filter finds parts of names too.
        with explained("list its networks"):
            return next((found for found in self._client.networks.list(names=[name]) if found.name == name), None)
