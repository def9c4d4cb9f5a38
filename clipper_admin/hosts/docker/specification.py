"""What the engine is told about a container: what to run, where it is reached, what it is not allowed to do."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from docker.types import Mount

from clipper_admin.exceptions import ClipperException
from clipper_admin.hosts.docker import labels
from clipper_admin.hosts.docker.labels import Role
from clipper_admin.hosts.docker.resources import Resources

# Whatever a container is given in files, and the one directory that it may keep data in, is under here.
HOME = "/clipper"
DATA = f"{HOME}/data"
ORDINARY_USER = 65_534
# Models compile what they then load, and the only place that they can write is this.
_TEMPORARY_FILES = {"/tmp": "exec,nosuid,nodev"}  # noqa: S108 - the container's own
# What would make all containers the same one.
_NOT_EXTRA = {"image", "name", "hostname", "command", "entrypoint", "network", "networking_config", "ports"}


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """One container of a cluster.

    Attributes:
        role: what it is for.
        name: unique on the engine.
        host: its host name, on all of its networks; unique there.
        image: what it runs.
        networks: the names of its networks; ports are published through the first.
        labels: on top of the ones that all containers have.
        entrypoint: program; empty: the image's.
        command: arguments; empty: the image's.
        environment: variables on top of the image's.
        ports: port in the container to port on the engine's machine.
        files: what it finds in HOME, by file name.
        keeps_data: whether it may write to DATA, which outlives its restarts.
        user: a number; None: the image's.
        resources: what it may use.
        attended: whether somebody talks to it through its standard streams; there is nothing left of it when it ends.
    """

    role: Role
    name: str
    host: str
    image: str
    networks: tuple[str, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[int, int] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    keeps_data: bool = False
    user: int | None = None
    resources: Resources = field(default_factory=Resources)
    attended: bool = False

    def options(self, cluster_name: str, published_at: str) -> dict[str, Any]:
        """The container as the Docker library's `containers.create` takes it, but for its networks.

        Args:
            cluster_name: the cluster's name.
            published_at: the address on the engine's machine at which ports are published.
        """
        options: dict[str, Any] = {
            "image": self.image,
            "name": self.name,
            "hostname": self.host,
            "labels": {labels.CLUSTER: cluster_name, labels.ROLE: self.role.value, **self.labels},
            "environment": dict(self.environment),
            "ports": {f"{inner}/tcp": (published_at, outer) for inner, outer in self.ports.items()},
            "read_only": True,
            "tmpfs": _TEMPORARY_FILES,
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges:true"],
            **self.resources.options(),
        }
        if self.files or self.keeps_data:
            options["mounts"] = [Mount(target=HOME, source=None, type="volume")]
        if self.entrypoint:
            options["entrypoint"] = list(self.entrypoint)
        if self.command:
            options["command"] = list(self.command)
        if self.attended:
            options |= {"stdin_open": True, "auto_remove": True}
        if self.user is not None:
            options["user"] = str(self.user)
        return options


def check_extra(extra: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns a user's options for all containers if they can be merged with any container's.

    Raises:
        ClipperException: one is not the user's to choose, or cannot be added to.
    """
    taken = sorted(_NOT_EXTRA & extra.keys())
    if taken:
        raise ClipperException(f"extra_container_kwargs cannot set {', '.join(taken)}: each container has its own")
    for name in ("environment", "labels"):
        if not isinstance(extra.get(name, {}), Mapping):
            raise ClipperException(f"{name} in extra_container_kwargs must be a mapping")
    return extra


def merged(options: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """A container's options with the user's: these add to mappings and lists and replace everything else."""
    result = {**options, **extra}
    for name in options.keys() & extra.keys():
        if isinstance(options[name], Mapping):
            result[name] = {**options[name], **extra[name]}
        elif isinstance(options[name], list):
            result[name] = [*options[name], *extra[name]]
    return result
