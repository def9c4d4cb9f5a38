"""ClipperConnection: the handle to a cluster, with everything that can be asked of it.

Each method names what it does and leaves the doing to the modules of its noun: applications, models, deployments.
Those that concern applications are in application_methods.
All but the first few need a connection, made by start_clipper or connect, and raise UnconnectedException without.
ClipperException says that the cluster or its container manager refused; network errors are those of `requests`.
"""

import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import requests

from clipper_admin import defaults, direct
from clipper_admin.admin_client import AdminClient
from clipper_admin.application_methods import ApplicationMethods
from clipper_admin.applications import Applications
from clipper_admin.cluster.check import Check, timeout_s
from clipper_admin.cluster.replicas import LOAD_TIMEOUT_S
from clipper_admin.connected import needs_connection
from clipper_admin.container_manager import ContainerManager
from clipper_admin.deployments import BuiltCode, Deployment, Deployments, UnbuiltCode
from clipper_admin.exceptions import ClipperException
from clipper_admin.function_check import try_function
from clipper_admin.logs import ClusterAdapter
from clipper_admin.models import Models, VersionOptions
from clipper_admin.naming import (
    ADAPTIVE_BATCH_SIZE,
    check_input_names,
    check_model_id,
    check_model_name,
    check_model_version,
)
from clipper_admin.samples import packed
from clipper_admin.undoing import Undoing

_LOG = logging.getLogger(__name__)
_PROBE_TIMEOUT_S = 5.0


class ClipperConnection(ApplicationMethods):
    """A handle to one cluster.

    Attributes:
        cm: the container manager that runs it.
    """

    def __init__(self, container_manager: ContainerManager) -> None:
        cluster_name = container_manager.cluster_identifier
        client = AdminClient(container_manager.get_admin_addr)
        self._undoing = Undoing(cluster_name)
        super().__init__(Applications(client, cluster_name, self._undoing), ClusterAdapter(_LOG, cluster_name))
        self.cm = container_manager
        self._models = Models(client, cluster_name)
        self._deployments = Deployments(container_manager, self._models, self._undoing)

    # The cluster

    def start_clipper(
        self,
        query_frontend_image: str = defaults.QUERY_IMAGE,
        mgmt_frontend_image: str = defaults.MANAGEMENT_IMAGE,
        frontend_exporter_image: str = defaults.EXPORTER_IMAGE,
        cache_size: int = defaults.CACHE_SIZE_BYTES,
        qf_http_thread_pool_size: int = 1,
        qf_http_timeout_request: int = 5,
        qf_http_timeout_content: int = 300,
        num_frontend_replicas: int = defaults.QUERY_SERVICES,
    ) -> None:
        """Starts the cluster unless it runs already, waits until it serves and connects to it.

        A running cluster stays as it is; the log says which of these arguments, but for defaults, had no effect. One
        that was killed, as by a reboot, or stopped with its state kept comes back with all that it had.

        Args:
            query_frontend_image: image of the query service, for container managers that use images.
            mgmt_frontend_image: image of the management service, likewise.
            frontend_exporter_image: image of the metrics exporter, likewise.
            cache_size: bytes of prediction cache in each query service.
            qf_http_thread_pool_size: without effect; existing programs pass it.
            qf_http_timeout_request: likewise.
            qf_http_timeout_content: likewise.
            num_frontend_replicas: how many query services to start.
        """
        self.cm.start_clipper(
            query_frontend_image,
            mgmt_frontend_image,
            frontend_exporter_image,
            cache_size,
            qf_http_thread_pool_size,
            qf_http_timeout_request,
            qf_http_timeout_content,
            num_frontend_replicas,
        )
        self.connected = True
        self._logger.info("Clipper is running")

    def connect(self) -> None:
        """Connects to the running cluster."""
        self.cm.connect()
        self.connected = True
        self._logger.info("Successfully connected to Clipper cluster at %s", self.cm.get_query_addr())

    def stop_all(self, graceful: bool = True, *, keep_state: bool = False) -> None:
        """Stops and forgets the cluster and all model containers, connected or not.

        Args:
            graceful: whether they finish what they have; else they are ended by force.
            keep_state: whether start_clipper brings back what was registered and deployed, instead of forgetting it.
        """
        self.cm.stop_all(graceful=graceful, keep_state=keep_state)
        self._logger.info("Stopped all Clipper cluster and all model containers")

    def all_or_nothing(self) -> AbstractContextManager[None]:
        """A context that undoes, if it fails, what this thread has registered, deployed and linked in it.

        What was replaced stays replaced. A program that is killed in it undoes nothing; run again with exist_ok, it
        goes on where it was.
        """
        return self._undoing.all_or_nothing()

    @needs_connection
    def get_query_addr(self) -> str:
        """Where predictions are asked for, host:port."""
        return self.cm.get_query_addr()

    @needs_connection
    def get_metric_addr(self) -> str:
        """Where metrics are read in the Prometheus text format, host:port."""
        return self.cm.get_metric_addr()

    @needs_connection
    def get_clipper_logs(self, logging_dir: str = "clipper_logs/") -> list[str]:
        """Copies the logs of everything that runs into a directory; returns the files' paths."""
        return self.cm.get_logs(logging_dir)

    @needs_connection
    def inspect_instance(self) -> dict[str, Any]:
        """The query service's metrics: counters, ratio_counters, meters and histograms."""
        response = direct.get(f"http://{self.cm.get_query_addr()}/metrics", _PROBE_TIMEOUT_S)
        if response.status_code != requests.codes.ok:
            raise ClipperException(f"Received error status code: {response.status_code} and message: {response.text}")
        return dict(response.json())

    # Models

    def build_model(
        self,
        name: str,
        version: str | int,
        model_data_path: str,
        base_image: str,
        container_registry: str | None = None,
        pkgs_to_install: Sequence[str] | None = None,
        *,
        python: str = "",
        env: Mapping[str, str] | None = None,
    ) -> str:
        """Makes an image of a model's files and the packages they need; returns what deploy_model takes as image.

        With `python`, as in "3.12", the model runs on that Python, which has to be the one that pickled it; on local
        processes it may also be the path of an interpreter. Empty: it runs on this interpreter's. The files are in the
        working directory of whatever replica is started from it, and the variables of `env` in its environment.
        """
        name, version = check_model_name(name), check_model_version(version)
        return self.cm.build_model(
            name, version, model_data_path, base_image, container_registry, pkgs_to_install, python=python, env=env
        )

    @needs_connection
    def deploy_model(
        self,
        name: str,
        version: str | int | None,
        input_type: str,
        image: str,
        labels: Sequence[str] | None = None,
        num_replicas: int = 1,
        batch_size: int = ADAPTIVE_BATCH_SIZE,
        *,
        batching_policy: str | None = None,
        batch_delay_micros: int = 0,
        exist_ok: bool = False,
        replace: bool = False,
        load_timeout_s: float = LOAD_TIMEOUT_S,
        input_names: Iterable[str] = (),
    ) -> str:
        """Starts replicas of a new version, waits until they serve, then registers it, which makes it current.

        Args:
            name: the model's name.
            version: the new version; None: the next, which is the largest registered number and one, and 1 where no
                version's name is a whole number. With `exist_ok` the current version if it is the same.
            input_type: what the model takes.
            image: what build_model returned, or another one with a container of one's own (examples/containers).
            labels: free words.
            num_replicas: how many replicas to start.
            batch_size: the largest batch; -1: adapted to the applications' latency objectives.
            batching_policy: how large batches are chosen, within batch_size: "fixed", "aimd", "quantile" or "adaptive";
                None: "fixed" for a positive batch_size, else "adaptive".
            batch_delay_micros: how many microseconds the first query of a batch may wait for others.
            exist_ok: whether the version may be registered already, if it runs the same with the same options; then
                nothing happens, but that replicas are started where there are fewer.
            replace: whether it takes the place of a registered version that runs something else, which serves until
                the new replicas do; its cached predictions are forgotten.
            load_timeout_s: how many seconds each replica may take until it has loaded its model and serves.
            input_names: what the elements of its inputs are called, in order; the image has these names, too.

        Returns:
            The version.

        Raises:
            ClipperException: the version is registered already, with what differs and what to do; or a replica could
                not load its model, with the end of its log.
        """
        names = check_input_names(input_names, input_type)
        options = VersionOptions(input_type, labels, batch_size, batching_policy, batch_delay_micros, names)
        name, checked = self._check_model_id(name, version)
        wanted = Deployment(name, checked, BuiltCode(image), num_replicas, options, exist_ok, replace, load_timeout_s)
        return self._deployments.deploy(wanted)

    @needs_connection
    def build_and_deploy_model(
        self,
        name: str,
        version: str | int | None,
        input_type: str,
        model_data_path: str,
        base_image: str,
        labels: Sequence[str] | None = None,
        container_registry: str | None = None,
        num_replicas: int = 1,
        batch_size: int = ADAPTIVE_BATCH_SIZE,
        pkgs_to_install: Sequence[str] | None = None,
        *,
        batching_policy: str | None = None,
        batch_delay_micros: int = 0,
        python: str = "",
        env: Mapping[str, str] | None = None,
        check: bool = False,
        sample_input: Any = None,
        exist_ok: bool = False,
        replace: bool = False,
        load_timeout_s: float = LOAD_TIMEOUT_S,
        input_names: Iterable[str] = (),
    ) -> str:
        """build_model, then deploy_model; refuses a registered version before it builds anything.

        Another program that deploys the same version is waited for. The image goes with the last version that has it.

        With `check` the model's directory holds a func.pkl, which is loaded, warmed up and, with a `sample_input`,
        asked once in a process of its own with the model's environment; what fails is told before anything is started.
        With `input_names` it holds a func.input_names.json with the same.
        """
        names = check_input_names(input_names, input_type)
        options = VersionOptions(input_type, labels, batch_size, batching_policy, batch_delay_micros, names)
        sample = None if sample_input is None else packed([sample_input], input_type, names)

        def ask() -> Check:
            return Check(input_type, sample, timeout_s(load_timeout_s))

        asked = ask if check else None
        code = UnbuiltCode(model_data_path, base_image, container_registry, pkgs_to_install, python, env, asked)
        name, checked = self._check_model_id(name, version)
        wanted = Deployment(name, checked, code, num_replicas, options, exist_ok, replace, load_timeout_s)
        return self._deployments.deploy(wanted)

    @needs_connection
    def register_model(
        self,
        name: str,
        version: str | int,
        input_type: str,
        image: str | None = None,
        labels: Sequence[str] | None = None,
        batch_size: int = ADAPTIVE_BATCH_SIZE,
        *,
        batching_policy: str | None = None,
        batch_delay_micros: int = 0,
        exist_ok: bool = False,
        input_names: Iterable[str] = (),
    ) -> None:
        """Registers a version whose replicas run already or, without an image, are started by somebody else.

        With `exist_ok` nothing happens if it is registered just like this.
        """
        names = check_input_names(input_names, input_type)
        options = VersionOptions(input_type, labels, batch_size, batching_policy, batch_delay_micros, names)
        self._models.register(name, str(version), image, options, exist_ok)

    @needs_connection
    def set_model_version(self, name: str, version: str | int, num_replicas: int | None = None) -> None:
        """Makes a registered version current, to roll back or forth; then scales it if `num_replicas` is given."""
        self._models.set_current(name, str(version))
        if num_replicas is not None:
            self._deployments.scale(name, str(version), num_replicas)

    @needs_connection
    def get_current_model_version(self, name: str) -> str:
        """The version that linked applications use."""
        return self._models.current_version(name)

    @needs_connection
    def get_all_models(self, verbose: bool = False) -> list[Any]:
        """All versions: "name:version" or, if `verbose`, dictionaries as from get_model_info."""
        return self._models.all(verbose)

    @needs_connection
    def get_model_info(self, name: str, version: str | int) -> dict[str, Any] | None:
        """A version with its input_type, labels, image, batching and whether it is current; None if not registered."""
        return self._models.describe(name, str(version))

    @needs_connection
    def get_model_packages(self, name: str, version: str | int | None = None) -> list[str]:
        """What a version (None: the current one) finds installed, as pip takes it: ["numpy==2.4.6", ...].

        Raises:
            ClipperException: it is not registered, somebody else runs its containers, or its image does not say.
        """
        version = self._models.current_version(name) if version is None else str(version)
        return self.cm.get_packages(self._models.image(name, version))

    # Replicas

    @needs_connection
    def get_num_replicas(self, name: str, version: str | int | None = None) -> int:
        """How many replicas of a version (None: of the current one) the container manager runs."""
        version = self._models.current_version(name) if version is None else str(version)
        return self.cm.get_num_replicas(name, version)

    @needs_connection
    def set_num_replicas(
        self,
        name: str,
        num_replicas: int,
        version: str | int | None = None,
        *,
        load_timeout_s: float = LOAD_TIMEOUT_S,
    ) -> None:
        """Starts or stops replicas of a version (None: of the current one) until there are `num_replicas`.

        Each may take `load_timeout_s` until it serves.
        """
        version = self._models.current_version(name) if version is None else str(version)
        self._deployments.scale(name, version, num_replicas, load_timeout_s)

    @needs_connection
    def get_all_model_replicas(self, verbose: bool = False) -> list[Any]:
        """All live replicas: "name:version:replica" or, if `verbose`, dictionaries."""
        return self._models.all_replicas(verbose)

    @needs_connection
    def get_model_replica_info(self, name: str, version: str | int, replica_id: int) -> dict[str, Any] | None:
        """A live replica with its model and input_type; None if there is none."""
        return self._models.describe_replica(name, str(version), replica_id)

    @needs_connection
    def stop_models(self, model_names: Iterable[str]) -> None:
        """Unregisters all versions of these models, stops their replicas and frees the images that were theirs alone.

        A model that loses its last version loses its links, too; the applications stay.
        """
        self._deployments.stop(self._models.versions(model_names))

    @needs_connection
    def stop_versioned_models(self, model_versions_dict: Mapping[str, Iterable[str | int]]) -> None:
        """Unregisters the versions {name: [version]}, current ones too, and stops their replicas."""
        self._deployments.stop({name: list(map(str, versions)) for name, versions in model_versions_dict.items()})

    @needs_connection
    def stop_inactive_model_versions(self, model_names: Iterable[str]) -> None:
        """Unregisters all versions of these models but the current ones and stops their replicas."""
        self._deployments.stop(self._models.versions(model_names, only_inactive=True))

    @needs_connection
    def stop_all_model_containers(self) -> None:
        """Unregisters all versions of all models and stops all replicas."""
        self._deployments.stop(self._models.versions(None))
        self.cm.stop_all_model_containers()

    def test_predict_function(
        self,
        query: Mapping[str, Any],
        func: Callable[[Any], Any],
        input_type: str,
        *,
        files: Sequence[str | os.PathLike[str]] = (),
        env: Mapping[str, str] | None = None,
        input_names: Iterable[str] = (),
    ) -> Any:
        """Calls `func` on this machine as a model container would; needs no cluster. See function_check."""
        return try_function(query, func, input_type, files, env or {}, input_names)

    def _check_model_id(self, name: str, version: str | int | None) -> tuple[str, str | None]:
        """A name and a version, as text, as which a model can be deployed."""
        return check_model_id(name, version)
