"""Model versions and their live replicas, as registered in a cluster."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from clipper_admin.admin_client import AdminClient
from clipper_admin.exceptions import ClipperException
from clipper_admin.logs import ClusterAdapter
from clipper_admin.naming import NO_CONTAINER, model_id

_LOG = logging.getLogger(__name__)


class Models:
    """The models of one cluster. Versions are text."""

    def __init__(self, client: AdminClient, cluster_name: str) -> None:
        self._client = client
        self._logger = ClusterAdapter(_LOG, cluster_name)

    def register(
        self,
        name: str,
        version: str,
        input_type: str,
        image: str | None,
        labels: Sequence[str] | None,
        batch_size: int,
        batching_policy: str | None,
        batch_delay_micros: int,
    ) -> None:
        """Registers a version and makes it the current one."""
        self._client.post(
            "add_model",
            {
                "model_name": name,
                "model_version": version,
                "labels": list(labels or ()),
                "input_type": input_type,
                "container_name": image or NO_CONTAINER,
                "model_data_path": "DEPRECATED",
                "batch_size": batch_size,
                "batching_policy": batching_policy or "",
                "batch_delay_micros": batch_delay_micros,
            },
        )
        self._logger.info("Successfully registered model %s", model_id(name, version))

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

    def current_version(self, name: str) -> str:
        """The version that linked applications use.

        Raises:
            ClipperException: there is none.
        """
        for version in self.all(verbose=True):
            if version["model_name"] == name and version["is_current_version"]:
                return str(version["model_version"])
        raise ClipperException(f"No versions of model {name} registered with Clipper")

    def all_replicas(self, verbose: bool) -> list[Any]:
        """All live replicas: "name:version:replica" or, if `verbose`, descriptions."""
        return list(self._client.post("get_all_containers", {"verbose": verbose}))

    def describe_replica(self, name: str, version: str, replica_id: int) -> dict[str, Any] | None:
        """A live replica's description; None when there is none."""
        request = {"model_name": name, "model_version": version, "replica_id": replica_id}
        description = self._client.post("get_container", request)
        return dict(description) if description else None
