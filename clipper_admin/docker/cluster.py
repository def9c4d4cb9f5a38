"""The services of a cluster of Docker containers: started, found again, stopped."""

import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from docker.models.containers import Container

from clipper_admin import running
from clipper_admin.docker import labels, plan
from clipper_admin.docker.claim import Claim
from clipper_admin.docker.containers import Containers, PortTaken, is_alive, is_stopped, variables
from clipper_admin.docker.labels import Role
from clipper_admin.docker.networks import Networks
from clipper_admin.docker.plan import Images
from clipper_admin.docker.specification import ContainerSpec
from clipper_admin.exceptions import ClipperException
from clipper_admin.logs import ClusterAdapter
from clipper_admin.readiness import is_serving

_LOG = logging.getLogger(__name__)
_QUERY_SERVICE = "clipper.v1.QueryService"
_MANAGEMENT_SERVICE = "clipper.v1.ManagementService"
_START_TIMEOUT_S = 120.0
_POLL_INTERVAL_S = 0.1
_FREE_PORTS = range(10_000, 50_000)
_MOST_PORTS_TRIED = 50


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """What a user can choose.

    Attributes:
        query_port: for predictions, on the engine's machine; 0, or one that is taken: a free one.
        management_port: for administration, likewise.
        prometheus_port: for Prometheus, likewise.
        external_redis: host:port of a Redis that somebody else runs; empty: the cluster has its own.
    """

    query_port: int
    management_port: int
    prometheus_port: int
    external_redis: str


class DockerCluster:
    """The services of one cluster; the running one, if there is one, is found by its labels."""

    def __init__(
        self,
        name: str,
        address: str,
        containers: Containers,
        networks: Networks,
        claim: Claim,
        options: ClusterOptions,
    ) -> None:
        """Takes whose services these are.

        Args:
            name: the cluster's name.
            address: of the engine's machine.
            containers: the cluster's.
            networks: the cluster's.
            claim: on the cluster.
            options: for `start`.
        """
        self._name = name
        self._address = address
        self._containers = containers
        self._networks = networks
        self._claim = claim
        self._options = options
        self._logger = ClusterAdapter(_LOG, name)

    def start(self, images: Images, query_services: int, cache_size_bytes: int) -> None:
        """Starts the services and returns when they serve, or when those serve that run already.

        Whoever is just starting the cluster, or stopping it, is waited for. What has stopped is started again with
        all that it has; nothing that was there before is removed.

        Raises:
            ClipperException: what is there does not serve, an image is missing or a service died.
        """
        with self._claim.held():
            if self._serves_already():
                self._tell_what_runs(images, query_services, cache_size_bytes)
                return
            try:
                self._networks.create()
                self._start_services(images, query_services, cache_size_bytes)
                self._wait_until_serving()
                self._containers.keep(self._containers.all())
            except BaseException:
                self.stop(graceful=False)
                raise

    def query_address(self) -> str:
        """Where predictions are asked for, host:port."""
        return self._published(labels.QUERY_PORT, plan.QUERY_PORT)

    def admin_address(self) -> str:
        """Where the cluster is administered, host:port."""
        return self._published(labels.MANAGEMENT_PORT, plan.MANAGEMENT_PORT)

    def metric_address(self) -> str:
        """Where Prometheus is, host:port."""
        return self._published(labels.METRIC_PORT, plan.PROMETHEUS_PORT)

    def management_address(self) -> str:
        """Where replicas find management, host:port on their network."""
        return str(self._labelled(labels.MANAGEMENT_ADDRESS).labels[labels.MANAGEMENT_ADDRESS])

    def replicas_network(self) -> str:
        """The name of the network that replicas join."""
        management = self._labelled(labels.MANAGEMENT_ADDRESS)
        return self._networks.of_replicas(management.attrs["NetworkSettings"]["Networks"].keys())

    def stop(self, *, graceful: bool) -> None:
        """Stops everything and forgets the cluster; nothing happens when there is none.

        Whoever is just starting it loses the right to. Whoever comes meanwhile to start it anew has its networks.
        """
        self._claim.remove()
        own = self._own()
        if len(own) < len(self._containers.all()):
            self._logger.warning("Only the replicas are stopped; `docker compose down` stops the services")
        if graceful:
            for role in Role:
                of_role = [container for container in own if container.labels.get(labels.ROLE) == role]
                self._containers.remove(of_role, graceful=True)
        else:
            self._containers.remove(own, graceful=False)
        if not self._claim.is_taken():
            self._networks.remove()

    def _serves_already(self) -> bool:
        """Whether the cluster runs; waits until what there is of it serves or has been removed."""
        deadline = time.monotonic() + _START_TIMEOUT_S
        if not self._serves():
            self._wake()
        while everything := self._containers.all():
            if self._serves():
                return True
            if time.monotonic() > deadline:
                standing = ", ".join(f"{container.name} ({container.status})" for container in everything)
                raise ClipperException(
                    f"Cluster {self._name} runs already but did not serve within {_START_TIMEOUT_S:.0f} s: {standing}. "
                    "ClipperConnection.stop_all removes it, and then it can be started again"
                )
            time.sleep(_POLL_INTERVAL_S)
        return False

    def _serves(self) -> bool:
        try:
            return all(is_serving(*probe) for probe in self._probes())
        except ClipperException:  # the containers that have the addresses are not there
            return False

    def _wake(self) -> None:
        stopped = [container for container in self._own() if is_stopped(container)]
        if stopped:
            self._logger.info("Starting again what has stopped: %s", ", ".join(str(each.name) for each in stopped))
            self._containers.wake(stopped)

    def _own(self) -> list[Container]:
        """All containers but the services that Compose runs."""
        return [each for each in self._containers.all() if labels.COMPOSE_PROJECT not in each.labels]

    def _tell_what_runs(self, images: Images, query_services: int, cache_size_bytes: int) -> None:
        asked = {
            "query_frontend_image": images.query,
            "mgmt_frontend_image": images.management,
            "num_frontend_replicas": query_services,
            "cache_size": cache_size_bytes,
            "clipper_query_port": self._options.query_port,
            "clipper_management_port": self._options.management_port,
            "prometheus_port": self._options.prometheus_port,
            "redis_ip:redis_port": self._options.external_redis,
        }
        running.tell(self._logger, asked, self._what_runs())

    def _what_runs(self) -> dict[str, object]:
        query = self._labelled(f"{labels.ROLE}={Role.QUERY}")
        management = self._labelled(labels.MANAGEMENT_ADDRESS)
        return {
            "query_frontend_image": query.attrs["Config"]["Image"],
            "mgmt_frontend_image": management.attrs["Config"]["Image"],
            "num_frontend_replicas": len(self._containers.of_role(Role.QUERY)),
            "clipper_query_port": _port_of(self.query_address()),
            "clipper_management_port": _port_of(self.admin_address()),
            "prometheus_port": _port_of(self.metric_address()),
            **plan.query_options(variables(query)),
        }

    def _start_services(self, images: Images, query_services: int, cache_size_bytes: int) -> None:
        networks = (self._networks.shared, self._networks.store)
        if self._options.external_redis:
            redis_url = f"redis://{self._options.external_redis}"
        else:
            self._logger.info("Starting managed Redis instance in Docker")
            redis = plan.redis(images.redis, self._networks)
            self._containers.start(redis)
            redis_url = plan.redis_url(redis)
        management = plan.management(images.management, networks, redis_url)
        self._containers.start(management)
        queries = [plan.query(images.query, networks, redis_url, cache_size_bytes) for _ in range(query_services)]
        for query in queries:
            self._containers.start(query)
        self._start_edge(images.envoy, queries, management)
        self._publish(
            lambda ports: plan.prometheus(images.prometheus, self._networks, ports[0], queries),
            [self._options.prometheus_port],
        )

    def _start_edge(self, image: str, queries: Sequence[ContainerSpec], management: ContainerSpec) -> None:
        self._publish(
            lambda ports: plan.envoy(
                image,
                self._networks,
                query_port=ports[0],
                management_port=ports[1],
                query_services=queries,
                management_service=management,
            ),
            [self._options.query_port, self._options.management_port],
        )

    def _publish(self, plan_with: Callable[[list[int]], ContainerSpec], wanted: list[int]) -> None:
        """Starts a container with the wanted ports, or free ones where others have them."""
        ports = [port or _free_port() for port in wanted]
        for _ in range(_MOST_PORTS_TRIED):
            try:
                self._containers.start(plan_with(ports))
            except PortTaken as taken:
                free = _free_port()
                self._logger.warning("Port %d is taken; trying %d instead", taken.port, free)
                ports = [free if port == taken.port else port for port in ports]
            else:
                return
        raise ClipperException(f"Of {_MOST_PORTS_TRIED} ports none was free")

    def _wait_until_serving(self) -> None:
        probes = self._probes()
        deadline = time.monotonic() + _START_TIMEOUT_S
        while probes:
            for container in self._containers.all():
                if not is_alive(container):
                    raise self._containers.failure(container, "while the cluster started")
            if time.monotonic() > deadline:
                logs = "\n".join(map(self._containers.log_tail, self._containers.all()))
                raise ClipperException(f"Cluster {self._name} did not serve within {_START_TIMEOUT_S:.0f} s:\n{logs}")
            if is_serving(*probes[0]):
                probes.pop(0)
            else:
                time.sleep(_POLL_INTERVAL_S)

    def _probes(self) -> list[tuple[str, str]]:
        """The addresses that serve when the cluster does, with what they serve."""
        return [(self.admin_address(), _MANAGEMENT_SERVICE), (self.query_address(), _QUERY_SERVICE)]

    def _published(self, label: str, inner_port: int) -> str:
        publisher = self._labelled(label)
        # Without a value whoever runs the services has left the choice to the engine.
        port = publisher.labels[label] or (publisher.ports[f"{inner_port}/tcp"] or [{}])[0]["HostPort"]
        return f"{self._address}:{port}"

    def _labelled(self, label: str) -> Container:
        for container in self._containers.with_label(label):
            return container
        raise ClipperException(
            f"There is no running cluster {self._name} on this Docker engine. "
            "ClipperConnection.start_clipper starts one"
        )


def _port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


def _free_port() -> int:
    return random.SystemRandom().choice(_FREE_PORTS)
