"""Model versions as they come and go: replicas and registration in the order that costs the fewest predictions."""

import logging
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from clipper_admin import remedies
from clipper_admin.cluster.check import Check
from clipper_admin.cluster.replicas import LOAD_TIMEOUT_S
from clipper_admin.container_manager import ContainerManager
from clipper_admin.exceptions import ClipperException
from clipper_admin.logs import ClusterAdapter
from clipper_admin.models import Models, VersionOptions
from clipper_admin.naming import NO_CONTAINER, model_id
from clipper_admin.undoing import Undoing

_LOG = logging.getLogger(__name__)


class Code(ABC):
    """What the replicas of a version are to run."""

    @abstractmethod
    def provide(self, cm: ContainerManager, name: str, version: str, edition: str) -> str:
        """The image for a version; one that is built now has the edition in its name, where images have names."""

    @abstractmethod
    def is_in(self, image: str, cm: ContainerManager) -> bool:
        """Whether an image of the cluster is known to hold the same."""


@dataclass(frozen=True, slots=True)
class BuiltCode(Code):
    """An image that there is.

    Attributes:
        image: what names it.
    """

    image: str

    def provide(self, cm: ContainerManager, name: str, version: str, edition: str) -> str:
        """The image."""
        return self.image

    def is_in(self, image: str, cm: ContainerManager) -> bool:
        """Whether it is that image."""
        return image == self.image


@dataclass(frozen=True, slots=True)
class UnbuiltCode(Code):
    """An image that is to be built of a model's files, and goes again when the deployment fails.

    Attributes:
        model_data_path, base_image, container_registry, pkgs_to_install, python, env: as ContainerManager.build_model
            takes them.
        ask: makes what the model has to pass; None: nothing.
    """

    model_data_path: str
    base_image: str
    container_registry: str | None
    pkgs_to_install: Sequence[str] | None
    python: str
    env: Mapping[str, str] | None
    ask: Callable[[], Check] | None

    def provide(self, cm: ContainerManager, name: str, version: str, edition: str) -> str:
        """Builds the image."""
        return cm.build_model(
            name,
            version,
            self.model_data_path,
            self.base_image,
            self.container_registry,
            self.pkgs_to_install,
            python=self.python,
            env=self.env,
            check=self.ask and self.ask(),
            edition=edition,
        )

    def is_in(self, image: str, cm: ContainerManager) -> bool:
        """Whether an image of the cluster was built of the same."""
        own = cm.fingerprint(self.model_data_path, self.base_image, self.pkgs_to_install, self.python, self.env)
        return cm.fingerprint_of(image) == own


@dataclass(frozen=True, slots=True)
class Deployment:
    """A version that is to be deployed.

    Attributes:
        name: the model's name.
        version: the version; None: the model's next.
        code: what its replicas run.
        num_replicas: how many there are to be.
        options: what it is registered with.
        exist_ok: whether it may be registered already, if it is the same.
        replace: whether it takes the place of a registered one that is not the same.
        load_timeout_s: how long each replica may take until it serves.
    """

    name: str
    version: str | None
    code: Code
    num_replicas: int
    options: VersionOptions
    exist_ok: bool = False
    replace: bool = False
    load_timeout_s: float = LOAD_TIMEOUT_S


class Deployments:
    """Starts and stops model versions in one cluster."""

    def __init__(self, cm: ContainerManager, models: Models, undoing: Undoing) -> None:
        self._cm = cm
        self._models = models
        self._undoing = undoing
        self._logger = ClusterAdapter(_LOG, cm.cluster_identifier)

    def deploy(self, wanted: Deployment) -> str:
        """Starts a version's replicas, waits until they can serve, and only then lets applications use it.

        Of several programs that deploy the same version one does, and the others are refused when it has: each waits
        until nobody else deploys it before it looks whether it is registered, and before it builds anything. Those that
        ask for the next version get one each. A deployment that fails leaves nothing behind.

        Returns:
            The version that is deployed now.

        Raises:
            ClipperException: the version is registered already, or the cluster or its container manager refused.
        """
        _check(wanted)
        version = self._deploy_next(wanted) if wanted.version is None else self._deploy_as(wanted, wanted.version)
        self._logger.info("Done deploying model %s.", model_id(wanted.name, version))
        return version

    def scale(self, name: str, version: str, num_replicas: int, load_timeout_s: float = LOAD_TIMEOUT_S) -> None:
        """Starts or stops replicas of a registered version until there are `num_replicas`.

        Raises:
            ClipperException: the version is not registered, or its containers are not the cluster's.
        """
        _check_count(num_replicas)
        with self._cm.replicas.claim(name, version):
            description = self._models.describe(name, version)
            if description is None:
                raise ClipperException(f"Cannot add container for non-registered model {model_id(name, version)}")
            if description["container_name"] == NO_CONTAINER:
                raise ClipperException(
                    f"Cannot resize the replica set for containerless model {model_id(name, version)}"
                )
            self._scale(description, num_replicas, load_timeout_s)

    def stop(self, versions: Mapping[str, Sequence[str]]) -> None:
        """Unregisters the versions {name: [version]}, stops the replicas that they have by now and frees their images.

        In this order nobody is sent to a version without replicas, and the replicas finish what they have. Those of
        whoever deploys one of the versions anew as soon as it is unregistered are not touched.
        """
        labels = [model_id(name, version) for name in versions for version in versions[name]]
        named = self._cm.replicas.named(labels)
        images = self._images(labels)
        try:
            self._models.unregister(versions)
        finally:
            self._cm.replicas.stop(named)
            self._cm.free(images)

    def _deploy_next(self, wanted: Deployment) -> str:
        with self._cm.replicas.numbering(wanted.name):
            current = self._models.find_current(wanted.name)
            if wanted.exist_ok and current is not None and not self._differences(wanted, current):
                self._leave(wanted, current)
                return str(current["model_version"])
            # Whoever gives a version its name does not ask for a number.
            while not self._deploy_new(wanted, version := self._models.next_version(wanted.name)):
                pass
            return version

    def _deploy_new(self, wanted: Deployment, version: str) -> bool:
        """Deploys a version if it is not registered; returns whether it was not."""
        with self._unwanted_images() as unwanted, self._cm.replicas.claim(wanted.name, version):
            if self._models.describe(wanted.name, version) is not None:
                return False
            self._begin(wanted, version, unwanted)
            return True

    def _deploy_as(self, wanted: Deployment, version: str) -> str:
        with self._unwanted_images() as unwanted, self._cm.replicas.claim(wanted.name, version):
            registered = self._models.describe(wanted.name, version)
            if registered is None:
                self._begin(wanted, version, unwanted)
            elif not (wanted.exist_ok or wanted.replace):
                raise self._models.exists_already(registered, wanted.options.as_registered())
            elif wanted.exist_ok and not (differences := self._differences(wanted, registered)):
                self._leave(wanted, registered)
            elif wanted.replace:
                self._replace(wanted, registered, unwanted)
            else:
                raise ClipperException(remedies.for_other_version(registered, differences))
        return version

    def _begin(self, wanted: Deployment, version: str, unwanted: set[str]) -> None:
        replicas = self._cm.replicas
        image = self._provide(wanted, version, "", unwanted)
        artefact = replicas.artefact(wanted.name, version, wanted.options.input_type, image)
        before = self._models.find_current(wanted.name)
        try:
            replicas.deploy(artefact, wanted.num_replicas, wanted.load_timeout_s)
            self._models.register(wanted.name, version, image, wanted.options)
        except BaseException:
            replicas.undo(artefact)
            raise
        unwanted.discard(image)
        self._undoing.note(lambda: self._take_back(wanted.name, version, before))

    def _leave(self, wanted: Deployment, registered: Mapping[str, Any]) -> None:
        """Leaves a version as it is registered, with as many replicas as were asked for, or more."""
        label = model_id(registered["model_name"], registered["model_version"])
        self._logger.info("Model %s is deployed already, just like this", label)
        if self._cm.replicas.count(label) < wanted.num_replicas:
            self._scale(registered, wanted.num_replicas, wanted.load_timeout_s)

    def _replace(self, wanted: Deployment, registered: Mapping[str, Any], unwanted: set[str]) -> None:
        """Has others serve in the place of a version's replicas, which end once those do."""
        name, version = wanted.name, registered["model_version"]
        if registered["input_type"] != wanted.options.as_registered()["input_type"]:
            raise ClipperException(remedies.for_other_input_type(registered))
        replicas = self._cm.replicas
        image = self._provide(wanted, version, secrets.token_hex(4), unwanted)
        artefact = replicas.artefact(name, version, wanted.options.input_type, image)
        before = self._images([model_id(name, version)])
        started = replicas.add(artefact, wanted.num_replicas, wanted.load_timeout_s)
        try:
            self._models.replace(name, version, image, wanted.options)
        except BaseException:
            replicas.stop(started)
            raise
        unwanted.discard(image)
        unwanted |= before - {image, artefact.image}
        replicas.stop(replicas.others(artefact))
        # With it go the cached predictions of those that have answered until now.
        self._models.replace(name, version, image, wanted.options)

    def _provide(self, wanted: Deployment, version: str, edition: str, unwanted: set[str]) -> str:
        image = wanted.code.provide(self._cm, wanted.name, version, edition)
        if isinstance(wanted.code, UnbuiltCode):
            unwanted.add(image)
        return image

    @contextmanager
    def _unwanted_images(self) -> Iterator[set[str]]:
        """Takes images that are to be freed in the end, when the version is claimed no longer."""
        unwanted: set[str] = set()
        try:
            yield unwanted
        finally:
            self._cm.free(unwanted)

    def _images(self, labels: Sequence[str]) -> set[str]:
        """The names and identities of the images of these "name:version"."""
        registered = {model_id(each["model_name"], each["model_version"]): each for each in self._models.all(True)}
        names = {registered[label]["container_name"] for label in labels if label in registered}
        return names.union(*map(self._cm.replicas.images, labels)) - {NO_CONTAINER}

    def _differences(self, wanted: Deployment, registered: Mapping[str, Any]) -> str:
        """In what a registered version is another than the wanted one; empty: in nothing."""
        options = remedies.differences(registered, wanted.options.as_registered())
        image, code = registered["container_name"], ""
        if not wanted.code.is_in(image, self._cm):
            code = "other code" if self._cm.fingerprint_of(image) else "code that cannot be compared"
        return ", and ".join(filter(None, (options, code)))

    def _scale(self, description: Mapping[str, Any], num_replicas: int, load_timeout_s: float) -> None:
        name, version, image = (description[key] for key in ("model_name", "model_version", "container_name"))
        self._cm.replicas.scale(name, version, description["input_type"], image, num_replicas, load_timeout_s)

    def _take_back(self, name: str, version: str, before: Mapping[str, Any] | None) -> None:
        """Undoes a deployment; the version that was current before is again."""
        if before is not None:
            self._models.set_current(name, before["model_version"])
        self.stop({name: [version]})


def _check(wanted: Deployment) -> None:
    _check_count(wanted.num_replicas)
    if wanted.replace and wanted.version is None:
        raise ClipperException("replace=True needs the version that is to be replaced; the next one replaces none")
    if not wanted.load_timeout_s > 0:
        raise ClipperException(f"load_timeout_s must be a positive number of seconds: {wanted.load_timeout_s}")


def _check_count(num_replicas: int) -> None:
    if num_replicas < 0:
        raise ClipperException(f"The number of replicas must not be negative: {num_replicas}")
