"""Runs a cluster as processes of this machine: no Docker, no root, nothing installed but Python packages.

The processes outlive the interpreter; connect() finds them again. An "image" is a directory made by build_model.
Arguments that only make sense for containers (image names, registries) are accepted and ignored.
"""

import logging
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from clipper_admin import running
from clipper_admin.container_manager import Component, ContainerManager
from clipper_admin.exceptions import ClipperException
from clipper_admin.local import images
from clipper_admin.local.cluster import LocalCluster
from clipper_admin.local.directory import clipper_home
from clipper_admin.local.layout import ClusterOptions
from clipper_admin.local.replicas import Deployment, LocalReplicas
from clipper_admin.logs import ClusterAdapter
from clipper_admin.naming import model_id

_LOG = logging.getLogger(__name__)
_CLUSTER_NAME = re.compile(r"[A-Za-z0-9][-_.A-Za-z0-9]*", re.ASCII)


class ProcessContainerManager(ContainerManager):
    """A cluster of local processes.

    Attributes:
        cluster_identifier: the cluster's name.
    """

    def __init__(
        self,
        cluster_name: str = "default-cluster",
        query_port: int = 1337,
        management_port: int = 1338,
        metrics_port: int = 1390,
    ) -> None:
        """Names a cluster; it is neither started nor looked for yet.

        Args:
            cluster_name: tells it from other clusters of this user.
            query_port: where start_clipper lets predictions be asked for; 0: a free port.
            management_port: where it lets the cluster be administered; 0: a free port.
            metrics_port: where it serves the metrics of the first query service; 0: a free port.

        Raises:
            ClipperException: the name cannot name a directory.
        """
        if not _CLUSTER_NAME.fullmatch(cluster_name):
            raise ClipperException(
                f"Invalid cluster name: {cluster_name}. It must consist of letters, digits, '-', '_' and '.', and "
                "start with a letter or a digit"
            )
        self.cluster_identifier = cluster_name
        self._ports = (query_port, management_port, metrics_port)
        self._home = clipper_home()
        self._cluster = LocalCluster(cluster_name, self._home)
        self._replicas = LocalReplicas(self._cluster)
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
        """Starts Redis, management, query services and Envoy, and the replicas of a cluster that was killed.

        See ContainerManager.
        """
        if num_frontend_replicas < 1:
            raise ClipperException(f"A cluster needs at least one query frontend, not {num_frontend_replicas}")
        query_port, management_port, metrics_port = self._ports
        options = ClusterOptions(
            query_port=query_port,
            admin_port=management_port,
            metrics_port=metrics_port,
            query_services=num_frontend_replicas,
            cache_size_bytes=cache_size,
        )
        self._logger.info("Starting the cluster's processes in %s", self._cluster.directory.root)
        started = self._cluster.start(options)
        state = self._cluster.state()
        if started:
            self._replicas.wait_until_back()
        else:
            running.tell(self._logger, _arguments(options), _arguments(ClusterOptions.of(state)))
        addresses = state.addresses
        self._logger.info("Predictions at %s, administration at %s", addresses.query, addresses.admin)

    def connect(self) -> None:
        """Finds the running cluster of this name; see ContainerManager."""
        self._cluster.state()

    def build_model(
        self,
        name: str,
        version: str,
        model_data_path: str,
        base_image: str,
        container_registry: str | None,
        pkgs_to_install: Sequence[str] | None,
    ) -> str:
        """Copies the model's files and prepares their environment; returns the image's directory."""
        self._logger.info("Building model image with model data from %s", model_data_path)
        directory = self._cluster.directory.images
        image = images.build(directory, self._home, name, version, Path(model_data_path), pkgs_to_install or ())
        self._logger.info("Successfully built %s", image)
        return str(image)

    def deploy_model(self, name: str, version: str, input_type: str, image: str, num_replicas: int = 1) -> None:
        """Starts replicas; see ContainerManager."""
        self.set_num_replicas(name, version, input_type, image, num_replicas)

    def get_num_replicas(self, name: str, version: str) -> int:
        """Counts the version's processes; one that is just being started again is one of them."""
        return len(self._replicas.kept(model_id(name, version)))

    def set_num_replicas(self, name: str, version: str, input_type: str, image: str, num_replicas: int) -> None:
        """Starts replicas, or stops the newest; see ContainerManager."""
        label = model_id(name, version)
        kept = self._replicas.kept(label)
        missing = num_replicas - len(kept)
        if missing > 0:
            self._logger.info("Found %d replicas for %s. Adding %d", len(kept), label, missing)
            self._replicas.start(Deployment(name, version, input_type, image), missing)
        elif missing < 0:
            self._logger.info("Found %d replicas for %s. Removing %d", len(kept), label, -missing)
            self._replicas.stop(kept[missing:])

    def get_components(self) -> list[Component]:
        """What the supervisor keeps, or has given up; see ContainerManager."""
        return [Component(each.name, each.state, each.model_id) for each in self._cluster.processes()]

    def get_logs(self, logging_dir: str) -> list[str]:
        """Copies the processes' logs; see ContainerManager."""
        self._cluster.supervision.ensure()
        target = Path(logging_dir).absolute()
        target.mkdir(parents=True, exist_ok=True)
        return [str(shutil.copy2(log, target / log.name)) for log in self._cluster.directory.log_files()]

    def stop_models(self, models: Mapping[str, Sequence[str]]) -> None:
        """Stops the versions' replicas; see ContainerManager."""
        self._replicas.stop_versions([model_id(name, version) for name in models for version in models[name]])

    def stop_all_model_containers(self) -> None:
        """Stops all replicas."""
        self._replicas.stop_all()

    def stop_all(self, graceful: bool = True) -> None:
        """Stops everything and deletes what the cluster was, but for its logs."""
        self._cluster.stop(graceful)

    def get_admin_addr(self) -> str:
        """Where the admin REST listens, host:port."""
        return self._cluster.state().addresses.admin

    def get_query_addr(self) -> str:
        """Where predictions are asked for, host:port."""
        return self._cluster.state().addresses.query

    def get_metric_addr(self) -> str:
        """Where the first query service's metrics are read in the Prometheus text format, host:port."""
        return self._cluster.state().addresses.metrics[0]


def _arguments(options: ClusterOptions) -> dict[str, object]:
    """The options under the names that users know them by."""
    return {
        "query_port": options.query_port,
        "management_port": options.admin_port,
        "metrics_port": options.metrics_port,
        "num_frontend_replicas": options.query_services,
        "cache_size": options.cache_size_bytes,
    }
