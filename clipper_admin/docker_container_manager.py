"""Would run a cluster as Docker containers; this release cannot.

The name is here so that programs written for it can be imported, and say what to use instead once they construct it.
"""

from collections.abc import Mapping
from typing import Any, NoReturn

from clipper_admin.exceptions import ClipperException


class DockerContainerManager:
    """Not available in this release; ProcessContainerManager is."""

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
    ) -> NoReturn:
        raise ClipperException(
            "DockerContainerManager is not available in this release. ProcessContainerManager runs the same cluster, "
            "with the same methods and ports, as processes of this machine: "
            "ClipperConnection(ProcessContainerManager())"
        )
