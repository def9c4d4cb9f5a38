"""A cluster of Docker containers: started, found again, and ended, with all that it has."""

import logging
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import docker
from docker.models.containers import Container

from clipper_admin.cluster import plan as parts
from clipper_admin.cluster import readiness
from clipper_admin.cluster.check import NotBegun
from clipper_admin.cluster.host import (
    Addresses,
    Artefact,
    Component,
    Host,
    Leftover,
    ModelFiles,
    Options,
    tell_what_runs,
)
from clipper_admin.cluster.readiness import MANAGEMENT_SERVICE, QUERY_SERVICE, Probe, is_serving
from clipper_admin.exceptions import ClipperException
from clipper_admin.hosts.docker import bases, checks, claim, images, labels, locks, plan
from clipper_admin.hosts.docker.claim import Claim
from clipper_admin.hosts.docker.containers import (
    Containers,
    ending,
    is_alive,
    is_kept,
    is_stopped,
    variables,
)
from clipper_admin.hosts.docker.engine import provide_image
from clipper_admin.hosts.docker.labels import Role
from clipper_admin.hosts.docker.leftovers import Leftovers
from clipper_admin.hosts.docker.networks import Networks
from clipper_admin.hosts.docker.options import DockerOptions
from clipper_admin.hosts.docker.plan import Images
from clipper_admin.hosts.docker.resources import Resources
from clipper_admin.hosts.docker.specification import ORDINARY_USER, ContainerSpec
from clipper_admin.logs import ClusterAdapter

_LOG = logging.getLogger(__name__)
_START_TIMEOUT_S = 120.0
# Of somebody else's with a claim, as long as a start may take that pulls its images.
_OTHERS_START_TIMEOUT_S = 300.0
# Who may build an image and wait for replicas meanwhile.
_OTHERS_TIMEOUT_S = 900.0
_POLL_INTERVAL_S = 0.1
_ROOT = ("", "0", "root")


class DockerHost(Host):
    """The containers of one cluster; the running one, if there is one, is found by its labels."""

    def __init__(
        self,
        name: str,
        address: str,
        client: docker.DockerClient,
        containers: Containers,
        networks: Networks,
        options: DockerOptions,
    ) -> None:
        """Takes whose containers these are.

        Args:
            name: the cluster's name.
            address: of the engine's machine.
            client: of the engine.
            containers: the cluster's.
            networks: the cluster's.
            options: the user's.
        """
        self._name = name
        self._address = address
        self._client = client
        self._containers = containers
        self._networks = networks
        self._options = options
        self._logger = ClusterAdapter(_LOG, name)
        self._leftovers = Leftovers(client, address, self._logger)
        self._start_claim = Claim(client, name, "start", _OTHERS_START_TIMEOUT_S, self._logger)
        # The name of an image may be given to another at any time: what was built here is known by its id.
        self._built: dict[str, str] = {}

    def start(self, options: Options) -> float | None:
        """Starts the cluster, or wakes what has stopped of it with all that it has; see Host."""
        with self._start_claim.held():
            awakened_s = None if self._serves() else self._make_way()
            if self._serves_already():
                self._containers.keep(self._unfinished())
                tell_what_runs(self._logger, self._asked(options), self._what_runs())
                return awakened_s
            begun_s, started = time.monotonic(), list[Container]()
            try:
                self._networks.create()
                for service in self._services(Images.chosen(options.query_image, options.management_image), options):
                    started.append(service)
                self._wait_until_serving()
                self._containers.keep(started)
            except BaseException:
                # Who has lost the right meanwhile must not end what another has started since.
                self._containers.remove(started, graceful=False)
                if not self._containers.all():
                    self._networks.remove()
                raise
        return begun_s

    def addresses(self) -> Addresses:
        """Where the cluster is found; the metrics are those of its Prometheus."""
        return Addresses(
            query=self._published(labels.QUERY_PORT, plan.QUERY_PORT),
            admin=self._published(labels.MANAGEMENT_PORT, plan.MANAGEMENT_PORT),
            metrics=self._published(labels.METRIC_PORT, plan.PROMETHEUS_PORT),
        )

    def end(self, *, graceful: bool, keep_state: bool) -> None:
        """Ends all containers but the services that Compose runs, in an order in which nobody is missed; see Host.

        Whoever is just starting it loses the right to. Whoever comes meanwhile to start it anew has its networks.
        """
        claim.remove_all(self._client, self._name)
        own = self._own()
        # What is registered in a store of somebody else's outlives the cluster.
        forgets = not keep_state and any(each.labels.get(labels.ROLE) == Role.REDIS for each in own)
        if len(own) < len(self._containers.all()):
            self._logger.warning("Only the replicas are stopped; `docker compose down` stops the services")
        by_role = [[each for each in own if each.labels.get(labels.ROLE) == role] for role in Role]
        for group in by_role if graceful else [own]:
            if keep_state:
                self._containers.halt(group, graceful=graceful)
            else:
                self._containers.remove(group, graceful=graceful)
        if not keep_state and not self._start_claim.is_taken():
            self._networks.remove()
        if forgets:
            self._leftovers.free(self._name)

    def claim(self, purpose: str) -> AbstractContextManager[None]:
        """Holds a volume; see Host and Claim."""
        return Claim(self._client, self._name, purpose, _OTHERS_TIMEOUT_S, self._logger).held()

    def build(self, files: ModelFiles) -> str:
        """Builds an image and, if a registry is given, pushes it there; returns its name."""
        repository = f"{self._name}-{files.name}:{'.'.join(filter(None, (files.version, files.edition)))}"
        tag = f"{files.registry}/{repository}" if files.registry else repository
        self._built[tag] = images.build(self._client, self._logger, cluster=self._name, tag=tag, files=files)
        try:
            self._check(tag, files)
        except BaseException:
            images.remove(self._client, tag)
            raise
        if files.registry:
            self._logger.info("Pushing model Docker image to %s", tag)
            images.push(self._client, self._logger, tag)
        return tag

    def identify(self, image: str) -> str:
        """The id of what was built here under this name or else, pulled if need be, of what bears it now."""
        return self._built.get(image) or str(provide_image(self._client, image).id)

    def fingerprint(self, image: str) -> str:
        """The label that it was given when it was built; see Host."""
        return images.fingerprint_of(self._client, image)

    def packages(self, image: str) -> list[str]:
        """The lock in the image; see Host and locks."""
        return locks.read(self._client, self._name, image)

    def free(self, images: Collection[str]) -> None:
        """Removes the cluster's images among these; see Host."""
        if images:
            self._leftovers.free(self._name, images)

    def prune(self, *, dry_run: bool) -> list[Leftover]:
        """Removes what all clusters on the engine have left; see Host."""
        return self._leftovers.prune(dry_run=dry_run)

    def run(self, artefact: Artefact, count: int, load_timeout_s: float) -> list[str]:
        """Starts containers that stay dead when they die, until they are to be kept; see Host."""
        started: list[Container] = []
        try:
            for _ in range(count):
                started.append(self._containers.start(self._replica(artefact, load_timeout_s)))
        except BaseException:
            self._containers.remove(started, graceful=False)
            raise
        return [str(each.name) for each in started]

    def components(self, version: str = "") -> list[Component]:
        """The cluster's containers; see Host."""
        found = self._containers.of_model(version) if version else self._containers.all()
        return [_component(container) for container in found]

    def keep(self, names: Collection[str]) -> None:
        """From now on the engine starts these again; see Host."""
        self._containers.keep(self._containers.named(names))

    def stop(self, names: Collection[str], *, graceful: bool = True) -> None:
        """Ends and removes these; see Host."""
        self._containers.remove(self._containers.named(names), graceful=graceful)

    def log_tail(self, name: str) -> str:
        """The last lines that a container wrote, with a heading."""
        return "\n".join(map(self._containers.log_tail, self._containers.named([name])))

    def logs(self, directory: Path) -> list[Path]:
        """Writes the containers' logs; see Host."""
        return [self._containers.write_log(container, directory) for container in self._containers.all()]

    def _check(self, tag: str, files: ModelFiles) -> None:
        """Has the image looked at by itself, in a container like those of its replicas."""
        if files.check is None:
            return
        artefact = Artefact(files.name, files.version, files.check.input_type, self._built[tag])
        try:
            looker = plan.check(self._replica(artefact, files.check.timeout_s))
            checks.outputs(self._client, self._containers, looker, files.check)
        except NotBegun as error:
            if files.base == bases.DEFAULT:
                raise
            self._logger.warning("The model is not checked, which containers of %s cannot do. %s", files.base, error)

    def _replica(self, artefact: Artefact, load_timeout_s: float) -> ContainerSpec:
        image_user = str(provide_image(self._client, artefact.image).attrs["Config"].get("User", "")).partition(":")[0]
        management = self._labelled(labels.MANAGEMENT_ADDRESS)
        return plan.replica(
            artefact,
            load_timeout_s,
            user=ORDINARY_USER if image_user in _ROOT else None,
            network=self._networks.of_replicas(management.attrs["NetworkSettings"]["Networks"].keys()),
            management_address=str(management.labels[labels.MANAGEMENT_ADDRESS]),
            resources=self._resources_of(artefact),
        )

    def _serves_already(self) -> bool:
        """Whether the cluster runs; waits until what there is of it serves or has been removed."""
        deadline = time.monotonic() + _START_TIMEOUT_S
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

    def _make_way(self) -> float | None:
        """Removes what a cut off start has left and wakes what has stopped; returns when, None: nothing had."""
        unfinished = self._unfinished()
        self._containers.remove(unfinished, graceful=False)
        stopped = [each for each in self._own() if is_stopped(each)]
        if not stopped:
            return None
        awakened_s = time.monotonic()
        self._logger.info("Starting again what has stopped: %s", ", ".join(str(each.name) for each in stopped))
        self._containers.wake(stopped)
        return awakened_s

    def _unfinished(self) -> list[Container]:
        """The services of a start that has not come to its end; nobody else's, to whoever has the right to start."""
        return [each for each in self._own() if not is_kept(each) and each.labels.get(labels.ROLE) != Role.REPLICA]

    def _own(self) -> list[Container]:
        """All containers but the services that Compose runs."""
        return [each for each in self._containers.all() if labels.COMPOSE_PROJECT not in each.labels]

    def _asked(self, options: Options) -> dict[str, object]:
        return {
            "query_frontend_image": options.query_image,
            "mgmt_frontend_image": options.management_image,
            "num_frontend_replicas": options.query_services,
            "cache_size": options.cache_size_bytes,
            "clipper_query_port": self._options.query_port,
            "clipper_management_port": self._options.management_port,
            "prometheus_port": self._options.prometheus_port,
            "redis_ip:redis_port": self._options.external_redis,
        }

    def _what_runs(self) -> dict[str, object]:
        query = self._labelled(f"{labels.ROLE}={Role.QUERY}")
        management = self._labelled(labels.MANAGEMENT_ADDRESS)
        addresses = self.addresses()
        return {
            "query_frontend_image": query.attrs["Config"]["Image"],
            "mgmt_frontend_image": management.attrs["Config"]["Image"],
            "num_frontend_replicas": len(self._containers.of_role(Role.QUERY)),
            "cache_size": parts.cache_size_bytes(variables(query)),
            "clipper_query_port": _port_of(addresses.query),
            "clipper_management_port": _port_of(addresses.admin),
            "prometheus_port": _port_of(addresses.metrics),
            "redis_ip:redis_port": parts.store(variables(query)),
        }

    def _services(self, images: Images, options: Options) -> Iterator[Container]:
        """Starts them one after the other."""
        networks = (self._networks.shared, self._networks.store)
        store = self._options.external_redis
        if not store:
            self._logger.info("Starting managed Redis instance in Docker")
            redis = plan.redis(images.redis, self._networks)
            yield self._containers.start(redis)
            store = plan.store_address(redis)
        management = plan.management(images.management, networks, store)
        yield self._containers.start(management)
        queries = [
            plan.query(images.query, networks, store, options.cache_size_bytes) for _ in range(options.query_services)
        ]
        yield from map(self._containers.start, queries)
        yield self._start_edge(images.envoy, queries, management)
        yield self._containers.publish(
            lambda ports: plan.prometheus(images.prometheus, self._networks, ports[0], queries),
            [self._options.prometheus_port],
        )

    def _start_edge(self, image: str, queries: Sequence[ContainerSpec], management: ContainerSpec) -> Container:
        return self._containers.publish(
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

    def _wait_until_serving(self) -> None:
        if not readiness.wait_until_serving(self._probes(), self._check_services, _START_TIMEOUT_S):
            logs = "\n".join(map(self._containers.log_tail, self._containers.all()))
            raise ClipperException(f"Cluster {self._name} did not serve within {_START_TIMEOUT_S:.0f} s:\n{logs}")

    def _check_services(self) -> None:
        for each in self.components():
            if each.ending:
                raise self.failure(each, f"{each.ending} while the cluster started")

    def _probes(self) -> list[Probe]:
        """The addresses that serve when the cluster does, with what they serve."""
        addresses = self.addresses()
        return [(addresses.admin, MANAGEMENT_SERVICE), (addresses.query, QUERY_SERVICE)]

    def _resources_of(self, artefact: Artefact) -> Resources:
        """What was chosen for the model or else, since another interpreter may have chosen, what its replicas have."""
        if artefact.model_name in self._options.resources:
            return self._options.resources[artefact.model_name]
        alive = [each for each in self._containers.of_model(artefact.model_id) if is_alive(each)]
        return Resources.of(alive[-1].attrs["HostConfig"]) if alive else Resources()

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


def _component(container: Container) -> Component:
    artefact = parts.artefact(variables(container), str(container.attrs["Image"]))
    return Component(
        name=str(container.name),
        state=container.status,
        is_kept=is_alive(container),
        ending=ending(container),
        deaths=container.attrs["RestartCount"],
        artefact=artefact,
        address=plan.service_address(container.attrs["Config"]["Hostname"]) if artefact else "",
    )


def _port_of(address: str) -> int:
    return int(address.rpartition(":")[2])
