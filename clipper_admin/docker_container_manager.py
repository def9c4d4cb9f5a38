"""Runs a cluster as Docker containers, each model in one of its own with its own packages.

The containers outlive the interpreter; connect() finds them again by their labels.
"""

import logging
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clipper_admin.container_manager import Component, ContainerManager
from clipper_admin.docker import labels
from clipper_admin.docker.labels import Role
from clipper_admin.docker.resources import Resources
from clipper_admin.exceptions import ClipperException
from clipper_admin.logs import ClusterAdapter
from clipper_admin.naming import model_id

# The docker package is an extra: without it there is the class, and what to install is said when one is made.
_MISSING: ModuleNotFoundError | None = None
try:
    from docker.types import LogConfig

    from clipper_admin.docker import engine, images
    from clipper_admin.docker.claim import Claim
    from clipper_admin.docker.cluster import ClusterOptions, DockerCluster
    from clipper_admin.docker.containers import Containers
    from clipper_admin.docker.networks import Networks, check_usable
    from clipper_admin.docker.plan import Images
    from clipper_admin.docker.replicas import Deployment, DockerReplicas
    from clipper_admin.docker.specification import check_extra
except ModuleNotFoundError as error:
    # A directory of this name on the import path passes for the package itself, but not for its modules.
    if (error.name or "").partition(".")[0] != "docker":
        raise
    _MISSING = error

_LOG = logging.getLogger(__name__)
# It becomes part of the names of images.
_CLUSTER_NAME = re.compile(r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*", re.ASCII)
_DEFAULT_BASE = "default"


class DockerContainerManager(ContainerManager):
    """A cluster of Docker containers.

    Attributes:
        cluster_identifier: the cluster's name.
    """

    def __init__(
        self,
        cluster_name: str = "default-cluster",
        docker_ip_address: str = "localhost",
        use_centralized_log: bool = False,
        fluentd_port: int = 24224,
        clipper_query_port: int = 1337,
        clipper_management_port: int = 1338,
        clipper_rpc_port: int = 7000,
        redis_ip: str | None = None,
        redis_port: int = 6379,
        prometheus_port: int = 9090,
        docker_network: str = "clipper_network",
        extra_container_kwargs: Mapping[str, Any] | None = None,
        model_resources: Mapping[str, Resources] | None = None,
    ) -> None:
        """Names a cluster of the engine that DOCKER_HOST names, or of this machine's; it is not started yet.

        A port that is taken when the cluster starts, or is 0, is replaced by a free one.

        Args:
            cluster_name: tells it from other clusters on the same engine.
            docker_ip_address: how the engine's machine is reached; unless that is localhost, ports are open to all.
            use_centralized_log: whether all containers send their logs to the Fluentd at fluentd_port of the engine's
                machine too.
            fluentd_port: see there.
            clipper_query_port: where predictions are asked for.
            clipper_management_port: where the cluster is administered.
            clipper_rpc_port: without effect; nothing dials in. Existing programs pass it.
            redis_ip: the host of a Redis that outlives the cluster, as containers reach it; None: one of its own.
            redis_port: its port.
            prometheus_port: where Prometheus is.
            docker_network: the network of all containers but Redis, made if there is none.
            extra_container_kwargs: for all containers, as the Docker library's `containers.create` takes them; they add
                to mappings and lists, such as labels, environment and mounts, and replace everything else.
            model_resources: what each replica may use, by model name.

        Raises:
            ClipperException: an argument is of no use, no engine answers, or the docker package is not installed.
        """
        _check_installed()
        if not _CLUSTER_NAME.fullmatch(cluster_name):
            raise ClipperException(
                f"Invalid cluster name: {cluster_name}. It becomes part of image names: it must consist of lower case "
                "letters and digits, with single '.', '_' or '-' between them"
            )
        self.cluster_identifier = cluster_name
        self._logger = ClusterAdapter(_LOG, cluster_name)
        extra_options = {
            **_log_options(use_centralized_log, fluentd_port),
            **check_extra(extra_container_kwargs or {}),
        }
        check_usable(docker_network)
        options = ClusterOptions(
            query_port=clipper_query_port,
            management_port=clipper_management_port,
            prometheus_port=prometheus_port,
            external_redis=_external_redis(redis_ip, redis_port),
        )
        self._client = engine.connect()
        networks = Networks(self._client, cluster_name, docker_network)
        self._containers = Containers(self._client, cluster_name, docker_ip_address, extra_options)
        claim = Claim(self._client, cluster_name, self._logger)
        self._cluster = DockerCluster(cluster_name, docker_ip_address, self._containers, networks, claim, options)
        self._replicas = DockerReplicas(self._client, self._cluster, self._containers, model_resources or {})

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
        """Starts Redis, management, query services, Envoy and Prometheus; see ContainerManager."""
        if num_frontend_replicas < 1:
            raise ClipperException(f"A cluster needs at least one query frontend, not {num_frontend_replicas}")
        chosen = Images.chosen(query_frontend_image, mgmt_frontend_image)
        self._cluster.start(chosen, num_frontend_replicas, cache_size)
        self._logger.info(
            "Predictions at %s, administration at %s, metrics at %s",
            self.get_query_addr(),
            self.get_admin_addr(),
            self.get_metric_addr(),
        )

    def connect(self) -> None:
        """Finds the running cluster of this name; see ContainerManager."""
        self._cluster.query_address()

    def build_model(
        self,
        name: str,
        version: str,
        model_data_path: str,
        base_image: str,
        container_registry: str | None,
        pkgs_to_install: Sequence[str] | None,
    ) -> str:
        """Builds an image and, if a registry is given, pushes it there; returns its name."""
        repository = f"{self.cluster_identifier}-{name}"
        image = f"{container_registry}/{repository}:{version}" if container_registry else f"{repository}:{version}"
        self._logger.info("Building model Docker image with model data from %s", model_data_path)
        images.build(
            self._client,
            self._logger,
            tag=image,
            base=images.DEFAULT_BASE if base_image == _DEFAULT_BASE else base_image,
            model_data=Path(model_data_path),
            packages=pkgs_to_install or (),
        )
        if container_registry:
            self._logger.info("Pushing model Docker image to %s", image)
            images.push(self._client, self._logger, image)
        return image

    def deploy_model(self, name: str, version: str, input_type: str, image: str, num_replicas: int = 1) -> None:
        """Starts replicas; see ContainerManager."""
        self.set_num_replicas(name, version, input_type, image, num_replicas)

    def get_num_replicas(self, name: str, version: str) -> int:
        """Counts the version's containers; one that is just being started again is one of them."""
        return len(self._replicas.alive(name, version))

    def set_num_replicas(self, name: str, version: str, input_type: str, image: str, num_replicas: int) -> None:
        """Starts replicas, or stops the newest, and removes dead ones; see ContainerManager."""
        label = model_id(name, version)
        alive = self._replicas.alive(name, version)
        missing = num_replicas - len(alive)
        if missing > 0:
            self._logger.info("Found %d replicas for %s. Adding %d", len(alive), label, missing)
            self._replicas.start(Deployment(name, version, input_type, image), missing)
        elif missing < 0:
            self._logger.info("Found %d replicas for %s. Removing %d", len(alive), label, -missing)
            self._replicas.remove(alive[missing:])
        self._replicas.remove_dead(name, version)

    def get_components(self) -> list[Component]:
        """The cluster's containers; see ContainerManager."""
        return [
            Component(str(container.name), container.status, labels.model_of(container.labels))
            for container in self._containers.all()
        ]

    def get_logs(self, logging_dir: str) -> list[str]:
        """Writes the containers' logs; see ContainerManager."""
        directory = Path(logging_dir).absolute()
        directory.mkdir(parents=True, exist_ok=True)
        return [str(self._containers.write_log(container, directory)) for container in self._containers.all()]

    def stop_models(self, models: Mapping[str, Sequence[str]]) -> None:
        """Stops and removes the versions' replicas; see ContainerManager."""
        versions = [(name, version) for name in models for version in models[name]]
        self._replicas.remove([each for version in versions for each in self._containers.of_model(*version)])

    def stop_all_model_containers(self) -> None:
        """Stops and removes all replicas."""
        self._replicas.remove(self._containers.of_role(Role.REPLICA))

    def stop_all(self, graceful: bool = True) -> None:
        """Stops and removes everything; images stay."""
        self._cluster.stop(graceful=graceful)

    def get_admin_addr(self) -> str:
        """Where the admin REST listens, host:port."""
        return self._cluster.admin_address()

    def get_query_addr(self) -> str:
        """Where predictions are asked for, host:port."""
        return self._cluster.query_address()

    def get_metric_addr(self) -> str:
        """Where the cluster's Prometheus is, host:port."""
        return self._cluster.metric_address()


def _check_installed() -> None:
    if _MISSING is not None:
        raise ClipperException(
            "A cluster of Docker containers needs the Python package docker, which is not installed for "
            f"{sys.executable}. `pip install 'clipper[docker]'` brings it; ProcessContainerManager runs the same "
            "cluster without Docker"
        ) from _MISSING


def _external_redis(host: str | None, port: int) -> str:
    if host in ("localhost", "127.0.0.1", "::1"):
        raise ClipperException(
            f"redis_ip is dialled from within containers, where {host} is the container itself. Please give the "
            "address that other machines use"
        )
    return f"{host}:{port}" if host else ""


def _log_options(centralized: bool, fluentd_port: int) -> dict[str, Any]:
    if not centralized:
        return {}
    # A cluster must not depend on who listens to it: nothing waits for Fluentd, at the price of lines while it is away.
    settings = {
        "fluentd-address": f"localhost:{fluentd_port}",
        "fluentd-async": "true",
        "fluentd-buffer-limit": "1000",
        "fluentd-max-retries": "1",
        "fluentd-retry-wait": "10ms",
        "tag": "{{.Name}}",
    }
    return {"log_config": LogConfig(type=LogConfig.types.FLUENTD, config=settings)}
