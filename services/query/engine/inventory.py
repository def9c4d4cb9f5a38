"""What is registered, as the engine works with it: the routes, versions and replicas that outlive a configuration.

A record that has not changed keeps its object, and with it what waits and what was learnt there.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from services.common.names import SINGLE
from services.common.records import Configuration, ModelVersion, version_key
from services.common.records import Replica as ReplicaRecord
from services.query.engine.choosing.selector import Selector
from services.query.engine.policies.registry import Policies
from services.query.engine.versions import Replica, ReplicaState, Route, Version


class Changes(NamedTuple):
    """What a new configuration has brought.

    Attributes:
        dialled: replicas that came.
        draining: replicas whose lease ended.
        removed: versions that are registered no longer, or are other ones now; their queues are as they were.
    """

    dialled: list[Replica]
    draining: list[Replica]
    removed: list[Version]


class Inventory:
    """The objects behind the records.

    Args:
        queue_capacity: most tasks that may wait for one model version on behalf of one application.
        policies: the applications' selection policies.

    Attributes:
        routes: by application name.
        versions: by version key.
    """

    def __init__(self, queue_capacity: int, policies: Policies) -> None:
        self.routes: dict[str, Route] = {}
        self.versions: dict[str, Version] = {}
        self._queue_capacity = queue_capacity
        self._policies = policies
        self._replicas: dict[str, Replica] = {}
        self._configuration = Configuration()

    @property
    def connecting(self) -> bool:
        """Whether a replica is being dialled for the first time."""
        return any(replica.state is ReplicaState.CONNECTING for replica in self._replicas.values())

    def take_over(self, configuration: Configuration) -> Changes:
        """Makes the objects those of a configuration."""
        changes = Changes([], [], [])
        known, self._configuration = self._configuration, configuration
        if configuration.replicas is not known.replicas:
            self._take_over_replicas(configuration.replicas, changes)
        if configuration.model_versions is not known.model_versions:
            self._take_over_versions(configuration.model_versions, changes)
        self._make_routes(configuration)
        return changes

    def _take_over_replicas(self, records: Mapping[str, ReplicaRecord], changes: Changes) -> None:
        for key, replica in list(self._replicas.items()):
            if records.get(key) != replica.record:
                del self._replicas[key]
                replica.enter(ReplicaState.DRAINING)
                if replica.version is not None:
                    replica.version.disown(replica)
                changes.draining.append(replica)
        for key, record in records.items():
            if key not in self._replicas:
                replica = self._replicas[key] = Replica(record)
                changes.dialled.append(replica)
                version = self.versions.get(record.version_key)
                if version is not None:
                    version.adopt(replica)

    def _take_over_versions(self, records: Mapping[str, ModelVersion], changes: Changes) -> None:
        for key, version in list(self.versions.items()):
            if records.get(key) != version.record:
                del self.versions[key]
                for replica in list(version.replicas):
                    version.disown(replica)
                changes.removed.append(version)
        for key, record in records.items():
            if key not in self.versions:
                version = self.versions[key] = Version(record, self._queue_capacity)
                for replica in self._replicas.values():
                    if replica.record.version_key == key:
                        version.adopt(replica)

    def _make_routes(self, configuration: Configuration) -> None:
        for name in self.routes.keys() - configuration.applications.keys():
            del self.routes[name]
        for name, application in configuration.applications.items():
            versions = self._current_versions(application.linked_models, configuration)
            if application.selection_policy == SINGLE:
                route = Route(application, next(iter(versions.values()), None))
            else:
                route = Route(application, None, Selector(application, self._policies.policy_of(application), versions))
            self.routes[name] = route

    def _current_versions(self, models: Sequence[str], configuration: Configuration) -> dict[str, Version]:
        versions = {}
        for name in sorted(models):
            current = configuration.current_versions.get(name)
            version = current and self.versions.get(version_key(current.model_name, current.model_version))
            if version:
                versions[name] = version
        return versions
