"""What a cluster needs of the place where it runs: the port behind which processes, containers and others are.

A host starts and ends things and knows how they stand. When that is to be done, and what to do when it fails, is
decided once for all hosts: in ContainerManager and in `replicas`.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from clipper_admin.cluster.check import Check
from clipper_admin.defaults import BY_ARGUMENT
from clipper_admin.exceptions import ClipperException
from clipper_admin.logs import ClusterAdapter
from clipper_admin.naming import model_id


@dataclass(frozen=True, slots=True)
class Options:
    """What every cluster is started with.

    Attributes:
        query_image: of the query service, where images are used.
        management_image: of the management service, likewise.
        query_services: how many query services.
        cache_size_bytes: the prediction cache of each.
    """

    query_image: str
    management_image: str
    query_services: int
    cache_size_bytes: int


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a cluster's users find it, host:port each.

    Attributes:
        query: predictions.
        admin: administration.
        metrics: in the Prometheus text format.
    """

    query: str
    admin: str
    metrics: str


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """What an image is made of.

    Attributes:
        name: the model's name.
        version: its version.
        path: a directory of model files, or one file.
        packages: what the model needs, as pip takes it.
        base: the image that it is based on, where images are.
        registry: where it is pushed; empty: nowhere.
        python: the Python that it runs on, as in "3.12"; empty: this interpreter's.
        environment: variables that the model finds in its environment.
        check: what the model has to pass before there is an image; None: nothing.
        edition: tells the image from an earlier one of the version, where images have names.
    """

    name: str
    version: str
    path: Path
    packages: Sequence[str]
    base: str = "default"
    registry: str = ""
    python: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    check: Check | None = None
    edition: str = ""


@dataclass(frozen=True, slots=True)
class Leftover:
    """What a deployment has left that nobody uses.

    Attributes:
        name: what tells it from all others.
        kind: "image", or "environment" of models.
        size_bytes: what it takes of the disk by itself.
    """

    name: str
    kind: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Artefact:
    """What a replica runs. Two replicas are of the same deployment if theirs are equal, not if they bear one name.

    Attributes:
        model_name: the model's name.
        version: the version that it was started as.
        input_type: what it takes, by the type's own name.
        image: the host's identity of the image; see Host.identify.
    """

    model_name: str
    version: str
    input_type: str
    image: str

    @property
    def model_id(self) -> str:
        """How its version is written."""
        return model_id(self.model_name, self.version)


@dataclass(frozen=True, slots=True)
class Component:
    """A service or a replica that a cluster is to have.

    Attributes:
        name: of its process or container.
        state: "running", or what has become of it.
        is_kept: whether it runs or is just being started again.
        ending: how it last ended unasked, as a predicate; "" if it has not.
        deaths: how often it has ended unasked since it was started on purpose.
        artefact: what a replica runs; None: a service.
        address: host:port at which a replica reports itself; "" of a service.
    """

    name: str
    state: str
    is_kept: bool
    ending: str = ""
    deaths: int = 0
    artefact: Artefact | None = None
    address: str = ""

    @property
    def model_id(self) -> str:
        """The "name:version" of a replica; "" of a service."""
        return "" if self.artefact is None else self.artefact.model_id


def version_claim(name: str, version: str) -> str:
    """The purpose for which the one program that deploys or scales a version has a claim; see Host.claim."""
    return f"{name}_{version}"


class Host(ABC):
    """Runs one cluster.

    Every method raises ClipperException when it cannot do what it says.
    """

    @abstractmethod
    def start(self, options: Options) -> float | None:
        """Starts the services and returns when all of them serve, or when those serve that run already.

        Whoever else is just starting or stopping the cluster is waited for. What an earlier life has left goes on. When
        the start fails, nothing runs, and what was there before still is.

        Returns:
            The time on time.monotonic()'s clock since which all that runs has been started, when the last of what
            ran before had ended; None: the cluster ran, and the log says which options have no effect.
        """

    @abstractmethod
    def addresses(self) -> Addresses:
        """Where the running cluster is found."""

    @abstractmethod
    def end(self, *, graceful: bool, keep_state: bool) -> None:
        """Ends everything; nothing happens when there is nothing.

        Args:
            graceful: whether all may finish what they have.
            keep_state: whether a start finds again what was registered and deployed; else the cluster is forgotten.
        """

    @abstractmethod
    def claim(self, purpose: str) -> AbstractContextManager[None]:
        """Has, for as long as the context lasts, what one program at a time can have; waits for whoever has it.

        A program that is killed has it no longer.
        """

    @abstractmethod
    def build(self, files: ModelFiles) -> str:
        """Makes a model's image; returns what names it. There is none if the model does not pass its check."""

    @abstractmethod
    def identify(self, image: str) -> str:
        """What tells the image of this name from all others, those of the same name included."""

    @abstractmethod
    def fingerprint(self, image: str) -> str:
        """What tells the code in an image that was built here from other code, see fingerprints; "" when not known."""

    @abstractmethod
    def packages(self, image: str) -> list[str]:
        """What the model in an image finds installed: one requirement each, as pip takes them."""

    @abstractmethod
    def free(self, images: Collection[str]) -> None:
        """Removes these images, by names or identities, that were built here, and what only they needed.

        What anybody on this machine uses, or is just deploying, stays.
        """

    @abstractmethod
    def prune(self, *, dry_run: bool) -> list[Leftover]:
        """Removes all that deployments on this machine have left and nobody uses, of whatever cluster.

        Args:
            dry_run: whether it all stays.

        Returns:
            What was removed, or would be.
        """

    @abstractmethod
    def run(self, artefact: Artefact, count: int, load_timeout_s: float) -> list[str]:
        """Starts replicas, all of them or none, and waits for nothing; returns their names.

        Args:
            artefact: what they run.
            count: how many.
            load_timeout_s: after how many seconds one that still loads its model is ended by itself.
        """

    @abstractmethod
    def components(self, version: str = "") -> list[Component]:
        """What there is, running or not, the oldest first; with a "name:version" its replicas alone."""

    @abstractmethod
    def keep(self, names: Collection[str]) -> None:
        """From now on these, which have begun to serve, are started again whenever they die."""

    @abstractmethod
    def stop(self, names: Collection[str], *, graceful: bool = True) -> None:
        """Ends these for good, with `graceful` after they have finished what they have; safe to repeat."""

    @abstractmethod
    def log_tail(self, name: str) -> str:
        """The last lines of a component's log, with a heading."""

    @abstractmethod
    def logs(self, directory: Path) -> Sequence[Path]:
        """Copies the logs of everything into a directory; returns the files."""

    def failure(self, component: Component, circumstance: str) -> ClipperException:
        """What to raise for a component: what is the matter with it, as a predicate, and the end of its log."""
        return ClipperException(f"{component.name} {circumstance}. {self.log_tail(component.name)}")


def tell_what_runs(logger: ClusterAdapter, asked: Mapping[str, object], found: Mapping[str, object]) -> None:
    """Says that the cluster was running, and which arguments had no effect because it was started with others.

    Args:
        logger: the cluster's.
        asked: arguments of this start, by name; what is empty, 0 or the argument's default is no wish.
        found: what the running cluster has instead of each; what is empty or 0 is not known.
    """
    logger.info("The cluster runs already; connecting to it")
    ineffective = [
        f"{name}={value} (it has {found[name]})"
        for name, value in asked.items()
        if value and found[name] and value not in (found[name], BY_ARGUMENT.get(name))
    ]
    if ineffective:
        logger.warning(
            "Without effect, because the running cluster was started otherwise: %s. To change it, call stop_all, then "
            "start_clipper",
            ", ".join(ineffective),
        )
