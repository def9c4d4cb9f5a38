"""Model versions as they come and go: replicas and registration in the order that costs the fewest predictions."""

import logging
from collections.abc import Callable, Mapping, Sequence

from clipper_admin.container_manager import ContainerManager
from clipper_admin.exceptions import ClipperException
from clipper_admin.logs import ClusterAdapter
from clipper_admin.models import Models, VersionOptions
from clipper_admin.naming import NO_CONTAINER, model_id

_LOG = logging.getLogger(__name__)


class Deployments:
    """Starts and stops model versions in one cluster."""

    def __init__(self, cm: ContainerManager, models: Models) -> None:
        self._cm = cm
        self._models = models
        self._logger = ClusterAdapter(_LOG, cm.cluster_identifier)

    def deploy(
        self, name: str, version: str, provide_image: Callable[[], str], num_replicas: int, options: VersionOptions
    ) -> None:
        """Starts a version's replicas, waits until they can serve, and only then lets applications use it.

        Of several programs that deploy the same version one does, and the others are refused when it has: each waits
        until nobody else deploys it before it looks whether it is registered, and before it builds anything. A
        deployment that fails leaves nothing behind.

        Args:
            name: the model's name.
            version: the new version.
            provide_image: makes the image, or knows it.
            num_replicas: how many replicas to start.
            options: what the version is registered with.

        Raises:
            ClipperException: the version is registered already, or the cluster or its container manager refused.
        """
        _check_count(num_replicas)
        replicas = self._cm.replicas
        with replicas.claim(name, version):
            self._models.check_new(name, version, options)
            image = provide_image()
            artefact = replicas.artefact(name, version, options.input_type, image)
            try:
                replicas.deploy(artefact, num_replicas)
                self._models.register(name, version, image, options)
            except BaseException:
                replicas.undo(artefact)
                raise
        self._logger.info("Done deploying model %s.", model_id(name, version))

    def scale(self, name: str, version: str, num_replicas: int) -> None:
        """Starts or stops replicas of a registered version until there are `num_replicas`.

        Raises:
            ClipperException: the version is not registered, or its containers are not the cluster's.
        """
        _check_count(num_replicas)
        with self._cm.replicas.claim(name, version):
            description = self._models.describe(name, version)
            if description is None:
                raise ClipperException(f"Cannot add container for non-registered model {model_id(name, version)}")
            image = description["container_name"]
            if image == NO_CONTAINER:
                raise ClipperException(
                    f"Cannot resize the replica set for containerless model {model_id(name, version)}"
                )
            self._cm.set_num_replicas(name, version, description["input_type"], image, num_replicas)

    def stop(self, versions: Mapping[str, Sequence[str]]) -> None:
        """Unregisters the versions {name: [version]} and stops the replicas that they have by now.

        In this order nobody is sent to a version without replicas, and the replicas finish what they have. Those of
        whoever deploys one of the versions anew as soon as it is unregistered are not touched.
        """
        named = self._cm.replicas.named([model_id(name, version) for name in versions for version in versions[name]])
        try:
            self._models.unregister(versions)
        finally:
            self._cm.replicas.stop(named)


def _check_count(num_replicas: int) -> None:
    if num_replicas < 0:
        raise ClipperException(f"The number of replicas must not be negative: {num_replicas}")
