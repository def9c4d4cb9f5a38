"""Runs a cluster as Docker containers, each model in one of its own with its own packages.

The containers outlive the interpreter; connect() finds them again by their labels.
"""

import re
import sys
from collections.abc import Mapping
from typing import Any

from clipper_admin import defaults
from clipper_admin.container_manager import ContainerManager
from clipper_admin.exceptions import ClipperException
from clipper_admin.hosts.docker.resources import Resources

# The docker package is an extra: without it there is the class, and what to install is said when one is made.
_MISSING: ModuleNotFoundError | None = None
try:
    from docker.types import LogConfig

    from clipper_admin.hosts.docker import engine
    from clipper_admin.hosts.docker.containers import Containers
    from clipper_admin.hosts.docker.host import DockerHost
    from clipper_admin.hosts.docker.networks import Networks, check_usable
    from clipper_admin.hosts.docker.options import DockerOptions
    from clipper_admin.hosts.docker.specification import check_extra
except ModuleNotFoundError as error:
    # A directory of this name on the import path passes for the package itself, but not for its modules.
    if (error.name or "").partition(".")[0] != "docker":
        raise
    _MISSING = error

# Of each container, as with Compose.
_BOUNDED_LOG = {"max-size": "10m", "max-file": "3"}
# It becomes part of the names of images.
_CLUSTER_NAME = re.compile(r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*", re.ASCII)


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
        clipper_query_port: int = defaults.QUERY_PORT,
        clipper_management_port: int = defaults.MANAGEMENT_PORT,
        clipper_rpc_port: int = 7000,
        redis_ip: str | None = None,
        redis_port: int = 6379,
        prometheus_port: int = defaults.PROMETHEUS_PORT,
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
        extra_options = {
            **_log_options(use_centralized_log, fluentd_port),
            **check_extra(extra_container_kwargs or {}),
        }
        check_usable(docker_network)
        options = DockerOptions(
            query_port=clipper_query_port,
            management_port=clipper_management_port,
            prometheus_port=prometheus_port,
            external_redis=_external_redis(redis_ip, redis_port),
            resources=model_resources or {},
        )
        client = engine.connect()
        networks = Networks(client, cluster_name, docker_network)
        containers = Containers(client, cluster_name, docker_ip_address, extra_options)
        host = DockerHost(cluster_name, docker_ip_address, client, containers, networks, options)
        super().__init__(cluster_name, host)


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
        return {"log_config": LogConfig(type=LogConfig.types.JSON, config=_BOUNDED_LOG)}
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
