"""Model versions and their live replicas, as registered in a cluster."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clipper_admin import remedies
from clipper_admin.admin_client import AdminClient
from clipper_admin.exceptions import ClipperException
from clipper_admin.logs import ClusterAdapter
from clipper_admin.naming import NO_CONTAINER, input_type_name, model_id, next_version

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class VersionOptions:
    """What a version is registered with beside its image.

    Attributes:
        input_type: what the model takes.
        labels: free words.
        batch_size: the largest batch; -1: adapted to the applications' latency objectives.
        batching_policy: how large batches are chosen; None: as the batch size says.
        batch_delay_micros: how many microseconds the first query of a batch may wait for others.
        input_names: what the elements of its inputs are called; empty: nothing.
    """

    input_type: str
    labels: Sequence[str] | None
    batch_size: int
    batching_policy: str | None
    batch_delay_micros: int
    input_names: Sequence[str] = ()

    def described(self) -> dict[str, Any]:
        """The options as the admin REST takes them."""
        return {
            "input_type": self.input_type,
            "labels": list(self.labels or ()),
            "batch_size": self.batch_size,
            "batching_policy": self.batching_policy or "",
            "batch_delay_micros": self.batch_delay_micros,
            "input_names": list(self.input_names),
        }

    def as_registered(self) -> dict[str, Any]:
        """The options as a version with them is described."""
        return {**self.described(), "input_type": input_type_name(self.input_type)}


class Models:
    """The models of one cluster. Versions are text."""

    def __init__(self, client: AdminClient, cluster_name: str) -> None:
        self._client = client
        self._logger = ClusterAdapter(_LOG, cluster_name)

    def register(
        self, name: str, version: str, image: str | None, options: VersionOptions, exist_ok: bool = False
    ) -> None:
        """Registers a version and makes it the current one, unless with `exist_ok` it is registered just like this."""
        container = {"container_name": image or NO_CONTAINER}
        body = {"model_name": name, "model_version": version, "model_data_path": "DEPRECATED"}
        try:
            self._client.post("add_model", {**body, **container, **options.described()})
        except ClipperException as refused:
            registered = self.describe(name, version) if remedies.EXISTS in refused.msg else None
            if registered is None:
                raise
            asked = {**options.as_registered(), **container}
            if exist_ok and not remedies.differences(registered, asked):
                return
            raise self.exists_already(registered, asked, refused.msg) from None
        self._logger.info("Successfully registered model %s", model_id(name, version))

    def replace(self, name: str, version: str, image: str, options: VersionOptions) -> None:
        """Registers a version in the place of the registered one, whose cached predictions are forgotten.

        Which version is current stays as it is, and so do links.
        """
        body = {"model_name": name, "model_version": version, "model_data_path": "DEPRECATED", "replace": True}
        self._client.post("add_model", {**body, "container_name": image, **options.described()})
        self._logger.info("Successfully replaced model %s", model_id(name, version))

    def unregister(self, versions: Mapping[str, Iterable[str]]) -> None:
        """Unregisters the versions {name: [version]}."""
        for name in versions:
            for version in versions[name]:
                self._client.post("delete_versioned_model", {"model_name": name, "model_version": version})
                self._logger.info("Successfully unregistered model %s", model_id(name, version))

    def set_current(self, name: str, version: str) -> None:
        """Makes a registered version the current one."""
        self._client.post("set_model_version", {"model_name": name, "model_version": version})
        self._logger.info("Version %s is now the current version of model %s", version, name)

    def all(self, verbose: bool) -> list[Any]:
        """All versions: "name:version" or, if `verbose`, descriptions."""
        return list(self._client.post("get_all_models", {"verbose": verbose}))

    def versions(self, names: Iterable[str] | None, only_inactive: bool = False) -> dict[str, list[str]]:
        """The registered versions of these models (None: of all), {name: [version]}."""
        wanted = None if names is None else set(names)
        found: dict[str, list[str]] = {}
        for version in self.all(verbose=True):
            if wanted is not None and version["model_name"] not in wanted:
                continue
            if not (only_inactive and version["is_current_version"]):
                found.setdefault(version["model_name"], []).append(version["model_version"])
        return found

    def describe(self, name: str, version: str) -> dict[str, Any] | None:
        """A version's description; None when it is not registered."""
        description = self._client.post("get_model", {"model_name": name, "model_version": version})
        return dict(description) if description else None

    def image(self, name: str, version: str) -> str:
        """What names the image of a version.

        Raises:
            ClipperException: the version is not registered, or it has none because somebody else runs its containers.
        """
        described = self.describe(name, version)
        if described is None:
            raise ClipperException(f"No version {version} of model {name} is registered with Clipper")
        if described["container_name"] == NO_CONTAINER:
            raise ClipperException(f"Somebody else runs the containers of {model_id(name, version)}; it has no image")
        return str(described["container_name"])

    def current_version(self, name: str) -> str:
        """The version that linked applications use.

        Raises:
            ClipperException: there is none.
        """
        current = self.find_current(name)
        if current is None:
            raise ClipperException(f"No versions of model {name} registered with Clipper")
        return str(current["model_version"])

    def find_current(self, name: str) -> dict[str, Any] | None:
        """The description of the version that linked applications use; None when there is none."""
        described = (each for each in self.all(verbose=True) if each["model_name"] == name)
        return next((dict(each) for each in described if each["is_current_version"]), None)

    def next_version(self, name: str) -> str:
        """The version after all that are registered; see naming.next_version."""
        return next_version(self.versions([name]).get(name, []))

    def all_replicas(self, verbose: bool) -> list[Any]:
        """All live replicas: "name:version:replica" or, if `verbose`, descriptions."""
        return list(self._client.post("get_all_containers", {"verbose": verbose}))

    def describe_replica(self, name: str, version: str, replica_id: int) -> dict[str, Any] | None:
        """A live replica's description; None when there is none."""
        request = {"model_name": name, "model_version": version, "replica_id": replica_id}
        description = self._client.post("get_container", request)
        return dict(description) if description else None

    def exists_already(
        self, registered: Mapping[str, Any], asked: Mapping[str, Any], message: str = ""
    ) -> ClipperException:
        """What to raise for a version that is registered already, with what to do."""
        name, version = registered["model_name"], registered["model_version"]
        message = message or f"model with name '{name}' and version '{version}' already exists"
        replicas = sum(replica["model_id"] == model_id(name, version) for replica in self.all_replicas(verbose=True))
        remedy = remedies.for_version(registered, asked, self.versions([name]).get(name, []), replicas)
        return ClipperException(f"{message}. {remedy}")
