"""What one program on an engine can have at a time: the right to start a cluster, or to deploy a version.

It is a volume: whoever asks for one whose name is taken gets the one that is there, with the labels of who was first.
The engine does not release it when that program is killed. So it says which process has it, and whoever waits on the
same machine takes it over from a dead one.
"""

import json
import os
import secrets
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

import docker
from docker.errors import NotFound

from clipper_admin.exceptions import ClipperException
from clipper_admin.hosts.docker import labels
from clipper_admin.hosts.docker.engine import explained
from clipper_admin.hosts.identity import ProcessIdentity
from clipper_admin.logs import ClusterAdapter

_POLL_INTERVAL_S = 0.2
_MACHINE_ID = Path("/etc/machine-id")
_NAMESPACE = Path("/proc/self/ns/pid")


class Claim:
    """A right that one program has at a time in one cluster."""

    def __init__(
        self, client: docker.DockerClient, cluster_name: str, purpose: str, timeout_s: float, logger: ClusterAdapter
    ) -> None:
        """Takes what is claimed.

        Args:
            client: of the engine.
            cluster_name: the cluster's name.
            purpose: what for; part of the volume's name.
            timeout_s: how long to wait for somebody else, at most.
            logger: the cluster's.
        """
        self._client = client
        self._cluster_name = cluster_name
        self._purpose = purpose
        self._timeout_s = timeout_s
        self._logger = logger
        self._volume = f"{cluster_name}.{purpose}"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Waits until nobody else has the right; nobody else has for as long as the context lasts.

        Raises:
            ClipperException: somebody else has had it for too long.
        """
        claimant = f"process {os.getpid()} of {socket.gethostname()} ({secrets.token_hex(4)})"
        self._take(claimant)
        try:
            yield
        finally:
            if _claimant(self._labels()) == claimant:
                self.remove()

    def is_taken(self) -> bool:
        """Whether somebody has the right, or waits for it, and is not known to be dead."""
        found = self._labels()
        return _claimant(found) is not None and not _is_dead(found)

    def remove(self) -> None:
        """Takes the right away from whoever has it."""
        with explained(f"remove the volume {self._volume}"), suppress(NotFound):
            self._client.volumes.get(self._volume).remove(force=True)

    def _take(self, claimant: str) -> None:
        deadline = time.monotonic() + self._timeout_s
        waiting = False
        while _claimant(found := self._first(claimant)) != claimant:
            if _is_dead(found):
                self._take_over(_claimant(found))
                continue
            if not waiting:
                self._logger.info("%s is just busy with %s; waiting for it", _claimant(found), self._purpose)
                waiting = True
            if time.monotonic() > deadline:
                raise ClipperException(
                    f"Cluster {self._cluster_name}: {_claimant(found)} has been busy with {self._purpose} for "
                    f"{self._timeout_s:.0f} s. If that was ended, `docker volume rm {self._volume}` lets others go on"
                )
            time.sleep(_POLL_INTERVAL_S)

    def _take_over(self, dead: str | None) -> None:
        """Removes a dead claimant's right, and nobody's who has got it since: one program at a time looks and does."""
        purpose = f"{self._purpose}.succession"
        with Claim(self._client, self._cluster_name, purpose, self._timeout_s, self._logger).held():
            if _claimant(self._labels()) == dead:
                self._logger.warning("%s was killed while it was busy with %s", dead, self._purpose)
                self.remove()

    def _first(self, claimant: str) -> Mapping[str, str]:
        """The labels of who has the right: the claimant, if nobody had it before."""
        own = {labels.CLUSTER: self._cluster_name, labels.CLAIMANT: claimant, labels.CLAIMING_PROCESS: _this_process()}
        with explained(f"create the volume {self._volume}"):
            self._client.volumes.create(self._volume, labels=own)
        return self._labels()

    def _labels(self) -> Mapping[str, str]:
        with explained(f"look at the volume {self._volume}"):
            try:
                return self._client.volumes.get(self._volume).attrs["Labels"] or {}
            except NotFound:
                return {}


def remove_all(client: docker.DockerClient, cluster_name: str) -> None:
    """Takes all rights in a cluster away from whoever has them."""
    with explained("remove the claims on the cluster"):
        wanted = [f"{labels.CLUSTER}={cluster_name}", labels.CLAIMANT]
        for volume in client.volumes.list(filters={"label": wanted}):
            with suppress(NotFound):
                volume.remove(force=True)


def _claimant(found: Mapping[str, str]) -> str | None:
    return found.get(labels.CLAIMANT)


def _this_process() -> str:
    """Tells this process from all others, to whoever sees the same pids; "" where nobody can."""
    identity = ProcessIdentity.of(os.getpid())
    return "" if identity is None else json.dumps({"place": _place(), **asdict(identity)})


def _is_dead(found: Mapping[str, str]) -> bool:
    """Whether the claimant is known to have ended: one of another place never is."""
    process = json.loads(found.get(labels.CLAIMING_PROCESS) or "{}")
    return process.pop("place", "") == _place() and not ProcessIdentity(**process).is_alive()


def _place() -> str:
    """Where pids mean the same: a machine, also after it was switched off and on, and a pid namespace of it."""
    machine = _MACHINE_ID.read_text().strip() if _MACHINE_ID.exists() else ""
    namespace = os.readlink(_NAMESPACE) if _NAMESPACE.exists() else ""
    return f"{socket.gethostname()} {machine} {namespace}"
