"""The right to start a cluster, which one program on an engine has at a time.

It is a volume: whoever asks for one whose name is taken gets the one that is there, with the labels of who was first.
Nobody else's end releases it, so a program that is killed while it starts a cluster leaves it behind, for `remove`.
"""

import os
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import docker
from docker.errors import NotFound

from clipper_admin.docker import labels
from clipper_admin.docker.engine import explained
from clipper_admin.exceptions import ClipperException
from clipper_admin.logs import ClusterAdapter

# As long as a start may take that pulls its images.
_TIMEOUT_S = 300.0
_POLL_INTERVAL_S = 0.2


class Claim:
    """The right to start one cluster."""

    def __init__(self, client: docker.DockerClient, cluster_name: str, logger: ClusterAdapter) -> None:
        self._client = client
        self._cluster_name = cluster_name
        self._logger = logger
        self._volume = f"{cluster_name}.start"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Waits until nobody else starts the cluster; nobody else does for as long as the context lasts.

        Raises:
            ClipperException: somebody else has been starting it for too long.
        """
        claimant = f"process {os.getpid()} of {socket.gethostname()} ({secrets.token_hex(4)})"
        self._take(claimant)
        try:
            yield
        finally:
            if self._owner() == claimant:
                self.remove()

    def is_taken(self) -> bool:
        """Whether somebody starts the cluster, or waits until it can be started."""
        return self._owner() is not None

    def remove(self) -> None:
        """Takes the right away from whoever has it."""
        with explained(f"remove the volume {self._volume}"):
            try:
                self._client.volumes.get(self._volume).remove(force=True)
            except NotFound:
                return

    def _take(self, claimant: str) -> None:
        deadline = time.monotonic() + _TIMEOUT_S
        waiting = False
        while (owner := self._first(claimant)) != claimant:
            if not waiting:
                self._logger.info("The cluster is just being started by %s; waiting for it", owner)
                waiting = True
            if time.monotonic() > deadline:
                raise ClipperException(
                    f"Cluster {self._cluster_name} has been being started for {_TIMEOUT_S:.0f} s by {owner}. If that "
                    "was ended, ClipperConnection.stop_all removes what it has left"
                )
            time.sleep(_POLL_INTERVAL_S)

    def _first(self, claimant: str) -> str | None:
        """Who has the right: the claimant, if nobody had it before."""
        with explained(f"create the volume {self._volume}"):
            self._client.volumes.create(
                self._volume, labels={labels.CLUSTER: self._cluster_name, labels.CLAIMANT: claimant}
            )
        return self._owner()

    def _owner(self) -> str | None:
        with explained(f"look at the volume {self._volume}"):
            try:
                return str(self._client.volumes.get(self._volume).attrs["Labels"][labels.CLAIMANT])
            except NotFound:
                return None
