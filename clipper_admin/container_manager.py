"""What runs a cluster and the replicas of its models, on whatever host.

A container manager starts and stops things and knows where they listen; what is registered it does not know. To run
clusters somewhere else, write a clipper_admin.cluster.host.Host, and a ContainerManager that is made with one.
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from clipper_admin.cluster.check import Check
from clipper_admin.cluster.fingerprints import fingerprint
from clipper_admin.cluster.host import Component, Host, Leftover, ModelFiles, Options
from clipper_admin.cluster.replicas import Replicas
from clipper_admin.exceptions import ClipperException
from clipper_admin.logs import ClusterAdapter
from clipper_admin.naming import check_variables, model_id

__all__ = ["Component", "ContainerManager", "Leftover"]

_LOG = logging.getLogger(__name__)


class ContainerManager:
    """Runs a cluster and the replicas of its models.

    Every method raises ClipperException when it cannot do what it says.

    Attributes:
        cluster_identifier: the cluster's name.
        replicas: the cluster's.
    """

    def __init__(self, cluster_name: str, host: Host) -> None:
        """Takes which cluster, and where it runs; it is neither started nor looked for yet."""
        self.cluster_identifier = cluster_name
        self.replicas = Replicas(cluster_name, host)
        self._host = host
        self._logger = ClusterAdapter(_LOG, cluster_name)

    def start_clipper(
        self,
        query_frontend_image: str,
        mgmt_frontend_image: str,
        frontend_exporter_image: str,
        cache_size: int,
        qf_http_thread_pool_size: int,
        qf_http_timeout_request: int,
        qf_http_timeout_content: int,
        num_frontend_replicas: int,
    ) -> None:
        """Starts the cluster, or finds it running, and is connected to it afterwards.

        Whoever else is just starting or stopping it is waited for. When it runs already, the log says so and which
        arguments, but for defaults, had no effect because it was started with others. One that was killed, or stopped
        with its state kept, has all that it had, its replicas included.

        Args:
            query_frontend_image: image of the query service, where images are used.
            mgmt_frontend_image: image of the management service, likewise.
            frontend_exporter_image: without meaning here; existing callers pass it.
            cache_size: bytes of prediction cache in each query service.
            qf_http_thread_pool_size: without meaning, like the exporter's image.
            qf_http_timeout_request: likewise.
            qf_http_timeout_content: likewise.
            num_frontend_replicas: how many query services to start.
        """
        if num_frontend_replicas < 1:
            raise ClipperException(f"A cluster needs at least one query frontend, not {num_frontend_replicas}")
        options = Options(query_frontend_image, mgmt_frontend_image, num_frontend_replicas, cache_size)
        since_s = self._host.start(options)
        if since_s is not None:
            self.replicas.wait_until_back(since_s)
        self._logger.info("Predictions at %s, administration at %s, metrics at %s", *self._addresses())

    def connect(self) -> None:
        """Finds the running cluster."""
        self._host.addresses()

    def build_model(
        self,
        name: str,
        version: str,
        model_data_path: str,
        base_image: str,
        container_registry: str | None,
        pkgs_to_install: Sequence[str] | None,
        *,
        python: str = "",
        env: Mapping[str, str] | None = None,
        check: Check | None = None,
        edition: str = "",
    ) -> str:
        """Makes an image of a model's files and the Python packages that they need; returns what names the image.

        Where images have no registries, bases or names, these arguments and the edition, which is part of the name, are
        ignored. Whatever replica is started from it, now or later, finds the variables of `env` in its environment.
        """
        self._logger.info("Building model image with model data from %s", model_data_path)
        path, packages, registry = Path(model_data_path), tuple(pkgs_to_install or ()), container_registry or ""
        variables = check_variables(env or {})
        image = self._host.build(
            ModelFiles(name, version, path, packages, base_image, registry, python, variables, check, edition)
        )
        self._logger.info("Successfully built %s", image)
        return image

    def fingerprint(
        self,
        model_data_path: str,
        base_image: str,
        pkgs_to_install: Sequence[str] | None,
        python: str = "",
        env: Mapping[str, str] | None = None,
    ) -> str:
        """What tells the code that build_model would put into an image from other code, and from other variables."""
        path, packages = Path(model_data_path), tuple(pkgs_to_install or ())
        return fingerprint(ModelFiles("", "", path, packages, base_image, python=python, environment=env or {}))

    def fingerprint_of(self, image: str) -> str:
        """What tells the code that build_model has put into an image from other code; "" when that is not known."""
        return self._host.fingerprint(image)

    def get_packages(self, image: str) -> list[str]:
        """What a model in an image that build_model made finds installed, one requirement each, as pip takes them."""
        return self._host.packages(image)

    def free(self, images: Collection[str]) -> None:
        """Removes images that build_model made, unless anybody on this machine uses them, and what only they needed."""
        try:
            if images:
                self._host.free(images)
        except (ClipperException, OSError) as error:
            self._logger.warning("Not freed until `clipper prune` is called: %s", error)

    def prune(self, *, dry_run: bool = False) -> list[Leftover]:
        """Removes all images and environments of models on this machine that nobody uses, of whatever cluster.

        What stop_models, stop_all and failed deployments leave is removed by them; this is for what they left behind
        when they were killed, and for what build_model made and nobody deployed. For a cluster of processes the machine
        is what is kept under the same home.

        Args:
            dry_run: whether it all stays.

        Returns:
            What was removed, or would be.
        """
        return self._host.prune(dry_run=dry_run)

    def deploy_model(self, name: str, version: str, input_type: str, image: str, num_replicas: int = 1) -> None:
        """Starts replicas of a model version and returns when each has loaded the model.

        What runs of the version already counts if it runs this image and takes this input type, and is stopped if not.
        """
        self.replicas.deploy(self.replicas.artefact(name, version, input_type, image), num_replicas)

    def get_num_replicas(self, name: str, version: str) -> int:
        """How many replicas of a model version run; one that is just being started again is one of them."""
        return self.replicas.count(model_id(name, version))

    def set_num_replicas(self, name: str, version: str, input_type: str, image: str, num_replicas: int) -> None:
        """Starts replicas, as deploy_model does, or stops the newest until there are `num_replicas`.

        If any run, more of the same are started, whatever the image's name means by now. Dead ones are cleared away.
        """
        self.replicas.scale(name, version, input_type, image, num_replicas)

    def get_components(self) -> list[Component]:
        """The services and replicas, whether they run or not."""
        return self._host.components()

    def get_logs(self, logging_dir: str) -> list[str]:
        """Copies the logs of everything that runs into a directory; returns the files' paths."""
        directory = Path(logging_dir).absolute()
        directory.mkdir(parents=True, exist_ok=True)
        return [str(file) for file in self._host.logs(directory)]

    def stop_models(self, models: Mapping[str, Sequence[str]]) -> None:
        """Stops all replicas of the model versions {name: [version]}."""
        versions = [model_id(name, version) for name in models for version in models[name]]
        self.replicas.stop(self.replicas.named(versions))

    def stop_all_model_containers(self) -> None:
        """Stops all replicas."""
        self.replicas.stop_all()

    def stop_all(self, graceful: bool = True, *, keep_state: bool = False) -> None:
        """Stops replicas and services and forgets the cluster.

        Args:
            graceful: whether they finish what they have; else nothing is waited for.
            keep_state: whether start_clipper brings back what was registered and deployed, instead.
        """
        self._host.end(graceful=graceful, keep_state=keep_state)

    def get_admin_addr(self) -> str:
        """Where the admin REST listens, host:port."""
        return self._host.addresses().admin

    def get_query_addr(self) -> str:
        """Where predictions are asked for, host:port."""
        return self._host.addresses().query

    def get_metric_addr(self) -> str:
        """Where metrics are read in the Prometheus text format, host:port."""
        return self._host.addresses().metrics

    def _addresses(self) -> tuple[str, str, str]:
        addresses = self._host.addresses()
        return addresses.query, addresses.admin, addresses.metrics
