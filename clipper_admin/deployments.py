"""Model versions as they come and go: replicas and registration in the order that costs the fewest predictions."""

import logging
import time
from collections.abc import Mapping, Sequence

from clipper_admin.container_manager import ContainerManager
from clipper_admin.exceptions import ClipperException
from clipper_admin.logs import ClusterAdapter
from clipper_admin.models import Models, VersionOptions
from clipper_admin.naming import NO_CONTAINER, model_id

_LOG = logging.getLogger(__name__)
# Replicas hold a lease as soon as they serve; this allows for a restart of management in between.
_LEASE_TIMEOUT_S = 30.0
_POLL_INTERVAL_S = 0.05


class Deployments:
    """Starts and stops model versions in one cluster."""

    def __init__(self, cm: ContainerManager, models: Models) -> None:
        self._cm = cm
        self._models = models
        self._logger = ClusterAdapter(_LOG, cm.cluster_identifier)

    def deploy(
        self,
        name: str,
        version: str,
        image: str,
        num_replicas: int,
        options: VersionOptions,
    ) -> None:
        """Starts a version's replicas, waits until they can serve, and only then lets applications use it.

        A deployment that fails leaves nothing behind.

        Raises:
            ClipperException: the version is registered already, or the cluster or its container manager refused.
        """
        self._models.check_new(name, version, options)
        _check_count(num_replicas)
        self._stop_leftovers(name, version)
        try:
            self._cm.deploy_model(
                name=name, version=version, input_type=options.input_type, image=image, num_replicas=num_replicas
            )
            self._wait_for_leases(name, version, num_replicas)
            self._models.register(name, version, image, options)
        except BaseException:
            self._cm.stop_models({name: [version]})
            raise
        self._logger.info("Done deploying model %s.", model_id(name, version))

    def scale(self, name: str, version: str, num_replicas: int) -> None:
        """Starts or stops replicas of a registered version until there are `num_replicas`.

        Raises:
            ClipperException: the version is not registered, or its containers are not the cluster's.
        """
        _check_count(num_replicas)
        description = self._models.describe(name, version)
        if description is None:
            raise ClipperException(f"Cannot add container for non-registered model {model_id(name, version)}")
        if description["container_name"] == NO_CONTAINER:
            raise ClipperException(f"Cannot resize the replica set for containerless model {model_id(name, version)}")
        self._cm.set_num_replicas(
            name=name,
            version=version,
            input_type=description["input_type"],
            image=description["container_name"],
            num_replicas=num_replicas,
        )
        self._wait_for_leases(name, version, num_replicas)

    def stop(self, versions: Mapping[str, Sequence[str]]) -> None:
        """Unregisters the versions {name: [version]} and stops their replicas.

        In this order nobody is sent to a version without replicas, and the replicas finish what they have.
        """
        try:
            self._models.unregister(versions)
        finally:
            self._cm.stop_models(versions)

    def _stop_leftovers(self, name: str, version: str) -> None:
        """Stops the replicas of an unregistered version: they run what a deployment that was cut off was to deploy."""
        left = self._cm.get_num_replicas(name, version)
        if left:
            self._logger.warning(
                "Stopping %d replicas of %s, which an unfinished deployment has left", left, model_id(name, version)
            )
            self._cm.stop_models({name: [version]})

    def _wait_for_leases(self, name: str, version: str, num_replicas: int) -> None:
        """Waits until the cluster knows of the replicas that the container manager has started."""
        wanted = model_id(name, version)
        deadline = time.monotonic() + _LEASE_TIMEOUT_S
        while sum(replica["model_id"] == wanted for replica in self._models.all_replicas(verbose=True)) < num_replicas:
            if time.monotonic() > deadline:
                raise ClipperException(
                    f"Of {num_replicas} started replicas of {wanted} not all reported to the management service "
                    f"within {_LEASE_TIMEOUT_S:.0f} s"
                )
            time.sleep(_POLL_INTERVAL_S)


def _check_count(num_replicas: int) -> None:
    if num_replicas < 0:
        raise ClipperException(f"The number of replicas must not be negative: {num_replicas}")
