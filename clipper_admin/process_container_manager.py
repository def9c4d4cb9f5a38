"""Runs a cluster as processes of this machine: no Docker, no root, nothing installed but Python packages.

The processes outlive the interpreter; connect() finds them again. An "image" is a directory made by build_model.
Arguments that only make sense for containers (image names, registries) are accepted and ignored.
"""

import re

from clipper_admin import defaults
from clipper_admin.container_manager import ContainerManager
from clipper_admin.exceptions import ClipperException
from clipper_admin.hosts.process.directory import clipper_home
from clipper_admin.hosts.process.host import ProcessHost

_CLUSTER_NAME = re.compile(r"[A-Za-z0-9][-_.A-Za-z0-9]*", re.ASCII)


class ProcessContainerManager(ContainerManager):
    """A cluster of local processes.

    Attributes:
        cluster_identifier: the cluster's name.
    """

    def __init__(
        self,
        cluster_name: str = "default-cluster",
        query_port: int = defaults.QUERY_PORT,
        management_port: int = defaults.MANAGEMENT_PORT,
        metrics_port: int = defaults.METRICS_PORT,
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
        super().__init__(
            cluster_name, ProcessHost(cluster_name, clipper_home(), query_port, management_port, metrics_port)
        )
