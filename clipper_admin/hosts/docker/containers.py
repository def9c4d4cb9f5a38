"""The containers of one cluster: made from specifications, found by their labels, stopped together."""

import logging
import random
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, NotFound
from docker.models.containers import Container

from clipper_admin.exceptions import ClipperException
from clipper_admin.hosts.docker import archive, labels
from clipper_admin.hosts.docker.engine import explained, provide_image
from clipper_admin.hosts.docker.labels import Role
from clipper_admin.hosts.docker.specification import DATA, HOME, ContainerSpec, merged
from clipper_admin.logs import ClusterAdapter

_LOG = logging.getLogger(__name__)
_LOOPBACK = "127.0.0.1"
_EVERYWHERE = "0.0.0.0"  # noqa: S104 - asked for by naming an address that others reach
# Longer than what any service or replica takes to drain.
_STOP_GRACE_S = 15
_LOG_TAIL_LINES = 30
_MOST_AT_ONCE = 16
_CONFLICT = 409
# The engine does not start again what was stopped, not even when it starts itself.
_UNTIL_HALTED: Any = {"Name": "unless-stopped"}
_FREE_PORTS = range(10_000, 50_000)
_MOST_PORTS_TRIED = 50
_TAKEN = ("port is already allocated", "address already in use", "failed to bind")


class PortTaken(ClipperException):
    """Somebody else has a port that a container was to publish.

    Attributes:
        port: which one.
    """

    def __init__(self, port: int) -> None:
        super().__init__(f"Port {port} is taken")
        self.port = port


class Containers:
    """What runs, or has run, for one cluster."""

    def __init__(
        self, client: docker.DockerClient, cluster_name: str, address: str, extra_options: Mapping[str, Any]
    ) -> None:
        """Takes how containers are made.

        Args:
            client: of the engine.
            cluster_name: the cluster's name.
            address: how users name the engine's machine: ports are published to itself only if that is "localhost".
            extra_options: of the user's, for all containers; see specification.merged.
        """
        self._client = client
        self._cluster_name = cluster_name
        self._published_at = _LOOPBACK if address in ("localhost", _LOOPBACK) else _EVERYWHERE
        self._extra_options = extra_options
        self._logger = ClusterAdapter(_LOG, cluster_name)

    def all(self) -> list[Container]:
        """Everything, running or not, oldest first."""
        return self._find()

    def of_role(self, role: Role) -> list[Container]:
        """What is there of one kind."""
        return self._find(f"{labels.ROLE}={role}")

    def of_model(self, model_id: str) -> list[Container]:
        """The replicas of a "name:version", oldest first."""
        return self._find(f"{labels.MODEL}={labels.model_label(model_id)}")

    def named(self, names: Collection[str]) -> list[Container]:
        """Those of these names that there are."""
        return [container for container in self._find() if container.name in names] if names else []

    def with_label(self, label: str) -> list[Container]:
        """What bears a label, whatever its value."""
        return self._find(label)

    def make(self, spec: ContainerSpec) -> Container:
        """Makes a container, which does not run yet.

        Raises:
            ClipperException: the engine refused.
        """
        provide_image(self._client, spec.image)
        with explained(f"create the container {spec.name}"):
            return self._create(spec)

    def start(self, spec: ContainerSpec) -> Container:
        """Makes and starts a container that stays dead when it dies; see `keep`.

        Raises:
            PortTaken: one of its ports is not free.
            ClipperException: the engine refused for another reason.
        """
        container = self.make(spec)
        try:
            container.start()
        except APIError as error:
            container.remove(v=True, force=True)
            explanation = str(error.explanation)
            if any(sign in explanation for sign in _TAKEN):
                raise PortTaken(_named(spec.ports.values(), explanation)) from error
            raise ClipperException(f"Docker could not start the container {spec.name}: {explanation}") from error
        return container

    def publish(self, plan_with: Callable[[list[int]], ContainerSpec], wanted: Collection[int]) -> Container:
        """Starts a container with the wanted ports, or free ones where others have them or it does not matter (0).

        Raises:
            ClipperException: the engine refused, or no free port was found.
        """
        ports = [port or _free_port() for port in wanted]
        for _ in range(_MOST_PORTS_TRIED):
            try:
                return self.start(plan_with(ports))
            except PortTaken as taken:
                free = _free_port()
                self._logger.warning("Port %d is taken; trying %d instead", taken.port, free)
                ports = [free if port == taken.port else port for port in ports]
        raise ClipperException(f"Of {_MOST_PORTS_TRIED} ports none was free")

    def keep(self, containers: Collection[Container]) -> None:
        """From now on the engine starts these again when they die, and when it starts itself."""
        for container in containers:
            with explained(f"keep the container {container.name} alive"):
                container.update(restart_policy={"Name": "always"})

    def wake(self, containers: Collection[Container]) -> None:
        """Starts these again, which have stopped, as they were made and with the files that they have; keeps them."""
        for container in containers:
            with explained(f"start the container {container.name} again"), _not_being_removed():
                container.start()
                container.update(restart_policy={"Name": "always"})

    def halt(self, containers: Collection[Container], *, graceful: bool) -> None:
        """Ends these, all at the same time, until `wake`; `graceful` lets them finish what they have."""
        _at_once(lambda container: _halt(container, graceful), containers)

    def remove(self, containers: Collection[Container], *, graceful: bool) -> None:
        """Ends these, all at the same time, and removes them; `graceful` lets them finish what they have."""
        _at_once(lambda container: _remove(container, graceful), containers)

    def write_log(self, container: Container, directory: Path) -> Path:
        """Writes what a container has said so far into a file of its name."""
        file = directory / f"{container.name}.log"
        with explained(f"read the log of {container.name}"), file.open("wb") as log:
            for chunk in container.logs(stream=True, follow=False):
                log.write(chunk)
        return file

    def log_tail(self, container: Container) -> str:
        """The last lines that a container wrote, with a heading."""
        with explained(f"read the log of {container.name}"):
            log = container.logs(tail=_LOG_TAIL_LINES).decode(errors="replace")
        return f"The end of the log of {container.name}:\n{log.rstrip()}"

    def _find(self, *wanted: str) -> list[Container]:
        with explained(f"list the containers of cluster {self._cluster_name}"):
            found = self._client.containers.list(
                all=True,
                ignore_removed=True,
                filters={"label": [f"{labels.CLUSTER}={self._cluster_name}", *wanted]},
            )
        return sorted(found, key=lambda container: str(container.attrs["Created"]))

    def _create(self, spec: ContainerSpec) -> Container:
        options = merged(spec.options(self._cluster_name, self._published_at), self._extra_options)
        first, *others = spec.networks
        endpoint = self._client.api.create_endpoint_config(aliases=[spec.host])
        container = self._client.containers.create(network=first, networking_config={first: endpoint}, **options)
        try:
            for network in others:
                self._client.networks.get(network).connect(container, aliases=[spec.host])
            if spec.files or spec.keeps_data:
                _fill(container, spec)
        except BaseException:
            container.remove(v=True, force=True)
            raise
        return container


def is_alive(container: Container) -> bool:
    """Whether it runs or is just being started again, by what the engine said last."""
    return container.status in ("running", "restarting")


def is_kept(container: Container) -> bool:
    """Whether it was ever to be started again when it dies: see `keep` and `halt`."""
    return container.attrs["HostConfig"]["RestartPolicy"]["Name"] not in ("", "no")


def variables(container: Container) -> dict[str, str]:
    """The environment that it was made with."""
    pairs = (variable.partition("=") for variable in container.attrs["Config"]["Env"] or ())
    return {name: value for name, _equals, value in pairs}


def ending(container: Container) -> str:
    """How it ended, as a predicate, by what the engine said last; "" while it lives."""
    if is_alive(container):
        return ""
    state = container.attrs["State"]
    return "was killed for want of memory" if state.get("OOMKilled") else f"ended with exit code {state['ExitCode']}"


def is_stopped(container: Container) -> bool:
    """Whether it has run and ended and nobody is starting it again, by what the engine said last."""
    return bool(container.status == "exited")


def _fill(container: Container, spec: ContainerSpec) -> None:
    kept = DATA.removeprefix(f"{HOME}/") if spec.keeps_data else ""
    container.put_archive(HOME, archive.of_files(spec.files, owned_directory=kept, owner=spec.user or 0))


def _at_once(end: Callable[[Container], None], containers: Collection[Container]) -> None:
    if containers:
        with ThreadPoolExecutor(min(_MOST_AT_ONCE, len(containers)), thread_name_prefix="stop") as pool:
            list(pool.map(end, containers))


def _halt(container: Container, graceful: bool) -> None:
    with explained(f"stop the container {container.name}"), _not_being_removed():
        container.update(restart_policy=_UNTIL_HALTED)
        container.stop(timeout=_STOP_GRACE_S if graceful else 0)


def _remove(container: Container, graceful: bool) -> None:
    with explained(f"stop the container {container.name}"), _not_being_removed():
        if graceful:
            container.stop(timeout=_STOP_GRACE_S)
        container.remove(v=True, force=True)


@contextmanager
def _not_being_removed() -> Iterator[None]:
    """Gives up what cannot be done because somebody else is just removing the container, or has."""
    try:
        yield
    except NotFound:
        return
    except APIError as error:
        if error.status_code != _CONFLICT:
            raise


def _named(ports: Collection[int], explanation: str) -> int:
    """The port that the engine complains of."""
    return next((port for port in ports if f":{port}" in explanation), next(iter(ports)))


def _free_port() -> int:
    return random.SystemRandom().choice(_FREE_PORTS)
