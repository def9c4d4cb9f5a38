"""The replicas of a cluster of Docker containers: one model container each."""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import docker
from docker.models.containers import Container

from clipper_admin import leases
from clipper_admin.docker import plan
from clipper_admin.docker.cluster import DockerCluster
from clipper_admin.docker.containers import Containers, is_alive
from clipper_admin.docker.engine import explained, provide_image
from clipper_admin.docker.resources import Resources
from clipper_admin.docker.specification import ORDINARY_USER, ContainerSpec
from clipper_admin.exceptions import ClipperException

# Models may take minutes to load.
_READY_TIMEOUT_S = 300.0
_POLL_INTERVAL_S = 0.05
_ROOT = ("", "0", "root")


@dataclass(frozen=True, slots=True)
class Deployment:
    """What a model version's replicas have in common.

    Attributes:
        model_name: the model's name.
        version: the version.
        input_type: what the model takes.
        image: the name of its image.
    """

    model_name: str
    version: str
    input_type: str
    image: str


class DockerReplicas:
    """The model containers of one cluster."""

    def __init__(
        self,
        client: docker.DockerClient,
        cluster: DockerCluster,
        containers: Containers,
        resources: Mapping[str, Resources],
    ) -> None:
        """Takes how replicas are made.

        Args:
            client: of the engine.
            cluster: whose replicas they are.
            containers: the cluster's.
            resources: what replicas may use, by model name.
        """
        self._client = client
        self._cluster = cluster
        self._containers = containers
        self._resources = resources

    def alive(self, name: str, version: str) -> list[Container]:
        """A model version's replicas that run or are just being started again, oldest first."""
        return [container for container in self._containers.of_model(name, version) if is_alive(container)]

    def start(self, deployment: Deployment, count: int) -> None:
        """Starts `count` more replicas and returns when each serves; when one dies before, all of them are removed.

        Raises:
            ClipperException: there is no such image, or a replica died or took too long; with the end of its log.
        """
        started: list[Container] = []
        try:
            spec = self._planner(deployment)
            for _ in range(count):
                started.append(self._containers.start(spec()))
            self._wait_until_serving(started)
            self._containers.keep(started)
        except BaseException:
            self._containers.remove(started, graceful=False)
            raise

    def remove(self, replicas: Collection[Container]) -> None:
        """Lets these finish what they have and ends them."""
        self._containers.remove(replicas, graceful=True)

    def remove_dead(self, name: str, version: str) -> None:
        """Removes those of a model version that the engine leaves dead, because somebody stopped or killed them."""
        dead = [container for container in self._containers.of_model(name, version) if not is_alive(container)]
        self._containers.remove(dead, graceful=False)

    def _planner(self, deployment: Deployment) -> Callable[[], ContainerSpec]:
        """What makes the specification of one more replica."""
        image = provide_image(self._client, deployment.image)
        image_user = str(image.attrs["Config"].get("User", "")).partition(":")[0]
        management_address = self._cluster.management_address()
        network = self._cluster.replicas_network()
        resources = self._resources_of(deployment)
        return lambda: plan.replica(
            model_name=deployment.model_name,
            version=deployment.version,
            input_type=deployment.input_type,
            image=deployment.image,
            user=ORDINARY_USER if image_user in _ROOT else None,
            network=network,
            management_address=management_address,
            resources=resources,
        )

    def _resources_of(self, deployment: Deployment) -> Resources:
        """What was chosen for the model or else, since another interpreter may have chosen, what its replicas have."""
        if deployment.model_name in self._resources:
            return self._resources[deployment.model_name]
        running = self.alive(deployment.model_name, deployment.version)
        return Resources.of(running[-1].attrs["HostConfig"]) if running else Resources()

    def _wait_until_serving(self, started: Collection[Container]) -> None:
        waiting = {plan.replica_address(replica.attrs["Config"]["Hostname"]): replica for replica in started}
        deadline = time.monotonic() + _READY_TIMEOUT_S
        while waiting:
            for address in leases.held(self._cluster.admin_address()):
                waiting.pop(address, None)
            for replica in waiting.values():
                with explained(f"look at the container {replica.name}"):
                    replica.reload()
                if not is_alive(replica):
                    raise self._containers.failure(replica, "before it was ready")
            if waiting and time.monotonic() > deadline:
                replica = next(iter(waiting.values()))
                raise ClipperException(
                    f"{replica.name} did not become ready within {_READY_TIMEOUT_S:.0f} s. "
                    f"{self._containers.log_tail(replica)}"
                )
            if waiting:
                time.sleep(_POLL_INTERVAL_S)
