"""What a user can choose of a cluster of containers, beside what every cluster is started with."""

from collections.abc import Mapping
from dataclasses import dataclass

from clipper_admin.hosts.docker.resources import Resources


@dataclass(frozen=True, slots=True)
class DockerOptions:
    """What a user can choose of this host.

    Attributes:
        query_port: for predictions, on the engine's machine; 0, or one that is taken: a free one.
        management_port: for administration, likewise.
        prometheus_port: for Prometheus, likewise.
        external_redis: host:port of a Redis that somebody else runs; empty: the cluster has its own.
        resources: what replicas may use, by model name.
    """

    query_port: int
    management_port: int
    prometheus_port: int
    external_redis: str
    resources: Mapping[str, Resources]
