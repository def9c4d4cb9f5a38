"""What a cluster looks like at the begin of a life: who listens where, and which processes run there.

Every process gets its port before it is started and keeps it over restarts, so that nobody has to be told a new one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from clipper_admin.cluster import plan as parts
from clipper_admin.edge import EdgeSettings
from clipper_admin.hosts.process import edge, open_files, plan, ports
from clipper_admin.hosts.process.directory import ClusterDirectory
from clipper_admin.hosts.process.process import ProcessSpec
from clipper_admin.hosts.process.state import Addresses, ClusterState, ProcessRecord


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """What a user can choose. A port of 0 is chosen by the operating system.

    Attributes:
        query_port: for predictions.
        admin_port: for administration.
        metrics_port: for the first query service's metrics in the Prometheus text format.
        query_services: how many query services run.
        cache_size_bytes: the prediction cache of each.
    """

    query_port: int
    admin_port: int
    metrics_port: int
    query_services: int
    cache_size_bytes: int

    @classmethod
    def of(cls, state: ClusterState) -> Self:
        """What was chosen for a cluster that runs, with the ports that it got."""
        return cls(
            query_port=ports.port_of(state.addresses.query),
            admin_port=ports.port_of(state.addresses.admin),
            metrics_port=ports.port_of(state.addresses.metrics[0]),
            query_services=len(state.addresses.query_services),
            cache_size_bytes=max(parts.cache_size_bytes(record.spec.environment) for record in state.processes),
        )

    def arguments(self) -> dict[str, object]:
        """The options under the names that users know them by."""
        return {
            "query_port": self.query_port,
            "management_port": self.admin_port,
            "metrics_port": self.metrics_port,
            "num_frontend_replicas": self.query_services,
            "cache_size": self.cache_size_bytes,
        }


@dataclass(frozen=True, slots=True)
class _Ports:
    """The port of every listener; one query service an element of the tuples."""

    query: int
    admin: int
    envoy_admin: int
    redis: int
    management: int
    query_services: tuple[int, ...]
    metrics: tuple[int, ...]


def lay_out(directory: ClusterDirectory, options: ClusterOptions, replicas: Sequence[ProcessSpec] = ()) -> ClusterState:
    """Plans a cluster and writes Envoy's configuration for it; starts nothing.

    Args:
        directory: the cluster's files.
        options: the user's.
        replicas: those of the cluster's last life. They get other ports than any had in that: what is registered still
            names those, and a query for one model must not come to another's replica.

    Raises:
        ClipperException: a wanted port is taken, or a program is missing.
    """
    wanted = (options.query_port, options.admin_port, options.metrics_port)
    most = 6 + 2 * options.query_services + len(replicas)
    free = iter(ports.free_ports(most, avoided=(*wanted, *(spec.ready_port for spec in replicas))))
    chosen = _choose_ports(options, free)
    addresses = Addresses(
        query=ports.address(chosen.query),
        admin=ports.address(chosen.admin),
        metrics=tuple(map(ports.address, chosen.metrics)),
        query_services=tuple(map(ports.address, chosen.query_services)),
        management_service=ports.address(chosen.management),
    )
    services = _processes(directory, chosen, addresses, options.cache_size_bytes)
    moved = (plan.moved_replica(spec, next(free), addresses.management_service) for spec in replicas)
    return ClusterState(addresses, tuple(ProcessRecord(spec) for spec in (*services, *moved)))


def _choose_ports(options: ClusterOptions, free: Iterator[int]) -> _Ports:
    ports.ensure_free(options.query_port, "predictions")
    ports.ensure_free(options.admin_port, "administration")
    ports.ensure_free(options.metrics_port, "metrics")
    count = options.query_services
    return _Ports(
        query=options.query_port or next(free),
        admin=options.admin_port or next(free),
        envoy_admin=next(free),
        redis=next(free),
        management=next(free),
        query_services=tuple(next(free) for _ in range(count)),
        metrics=(options.metrics_port or next(free), *(next(free) for _ in range(count - 1))),
    )


def _processes(
    directory: ClusterDirectory, chosen: _Ports, addresses: Addresses, cache_size_bytes: int
) -> Iterator[ProcessSpec]:
    yield plan.redis(directory, chosen.redis)
    yield plan.management(chosen.management, chosen.redis)
    for index, (port, metrics_port) in enumerate(zip(chosen.query_services, chosen.metrics, strict=True)):
        yield plan.query(index, port, metrics_port, chosen.redis, cache_size_bytes)
    configuration = edge.write_configuration(
        directory.envoy,
        query_port=chosen.query,
        admin_port=chosen.admin,
        envoy_admin_port=chosen.envoy_admin,
        query_services=addresses.query_services,
        management_service=addresses.management_service,
        settings=EdgeSettings.from_environment().within(open_files.limit()),
    )
    yield plan.envoy(configuration, chosen.query)
