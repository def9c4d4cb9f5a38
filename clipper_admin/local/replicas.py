"""The replicas of a cluster of local processes: one model container process each."""

import logging
import time
from collections.abc import Collection
from dataclasses import dataclass

from clipper_admin import leases
from clipper_admin.exceptions import ClipperException
from clipper_admin.local import images, plan, ports
from clipper_admin.local.cluster import LocalCluster
from clipper_admin.local.process import ProcessState, ProcessStatus
from clipper_admin.local.specification import ProcessSpec
from clipper_admin.logs import ClusterAdapter
from clipper_admin.readiness import is_serving

_LOG = logging.getLogger(__name__)
_MODEL_CONTAINER_SERVICE = "clipper.v1.ModelContainerService"
# Models may take minutes to load.
_READY_TIMEOUT_S = 300.0
_POLL_INTERVAL_S = 0.05


@dataclass(frozen=True, slots=True)
class Deployment:
    """What a model version's replicas have in common.

    Attributes:
        model_name: the model's name.
        version: the version.
        input_type: what the model takes.
        image: the directory of its image.
    """

    model_name: str
    version: str
    input_type: str
    image: str

    @property
    def model_id(self) -> str:
        """How the version is written."""
        return f"{self.model_name}:{self.version}"


class LocalReplicas:
    """The model containers of one cluster."""

    def __init__(self, cluster: LocalCluster) -> None:
        self._cluster = cluster
        self._logger = ClusterAdapter(_LOG, cluster.name)

    def wait_until_back(self) -> None:
        """Waits until the replicas that an earlier life has left are in use again.

        One that cannot be started any more does not hold up the others; the log says which and why.
        """
        addresses = self._addresses()
        waiting = set(addresses)
        deadline = time.monotonic() + _READY_TIMEOUT_S
        while waiting:
            if time.monotonic() > deadline:
                self._logger.warning("Not yet back after %.0f s: %s", _READY_TIMEOUT_S, ", ".join(sorted(waiting)))
                return
            time.sleep(_POLL_INTERVAL_S)
            held = leases.held(self._cluster.state().addresses.admin)
            waiting = {name for name in waiting if addresses[name] not in held}
            for status in self._all():
                if status.name in waiting and status.state is ProcessState.FAILED:
                    self._logger.warning("%s", self._cluster.failure(status, "and is not started any more"))
                    waiting.remove(status.name)

    def kept(self, model_id: str) -> list[str]:
        """The names of a model version's replicas that run or are just being started again, oldest first."""
        return [
            replica.name
            for replica in self._all()
            if replica.model_id == model_id and replica.state in (ProcessState.RUNNING, ProcessState.RESTARTING)
        ]

    def start(self, deployment: Deployment, count: int) -> None:
        """Starts `count` more replicas and returns when each serves; when one dies before, all of them are stopped.

        Raises:
            ClipperException: there is no such image, or a replica died or took too long; with the end of its log.
        """
        specs = self._specs(deployment, count)
        self._cluster.supervision.order("start", specs=[spec.to_json() for spec in specs])
        try:
            self._wait_until_serving(specs)
        except BaseException:
            self._stop([spec.name for spec in specs])
            raise

    def stop(self, names: Collection[str]) -> None:
        """Lets these replicas finish what they have and ends them."""
        self._stop(list(names))

    def stop_versions(self, model_ids: Collection[str]) -> None:
        """Ends all replicas of these model versions."""
        self._stop([replica.name for replica in self._all() if replica.model_id in model_ids])

    def stop_all(self) -> None:
        """Ends all replicas."""
        self._stop([replica.name for replica in self._all()])

    def _addresses(self) -> dict[str, str]:
        """Where the replicas listen, by name."""
        return {spec.name: ports.address(spec.ready_port) for spec in self._cluster.state().replicas()}

    def _all(self) -> list[ProcessStatus]:
        return [process for process in self._cluster.processes() if process.model_id]

    def _stop(self, names: list[str]) -> None:
        self._cluster.supervision.order("stop", names=names, graceful=True)

    def _specs(self, deployment: Deployment, count: int) -> list[ProcessSpec]:
        image = images.load(deployment.image)
        management = self._cluster.state().addresses.management_service
        taken = [int(replica.name.rpartition("-")[2]) for replica in self._all()]
        first = max(taken, default=-1) + 1
        return [
            plan.replica(
                model_name=deployment.model_name,
                version=deployment.version,
                index=first + offset,
                input_type=deployment.input_type,
                model=image.model,
                python=image.python,
                port=port,
                management=management,
            )
            for offset, port in enumerate(ports.free_ports(count))
        ]

    def _wait_until_serving(self, specs: list[ProcessSpec]) -> None:
        waiting = {spec.name: spec for spec in specs}
        deadline = time.monotonic() + _READY_TIMEOUT_S
        while waiting:
            for status in self._all():
                if status.name in waiting and status.deaths:
                    raise self._cluster.failure(status, "before it was ready")
            waiting = {
                name: spec
                for name, spec in waiting.items()
                if not is_serving(ports.address(spec.ready_port), _MODEL_CONTAINER_SERVICE)
            }
            if waiting and time.monotonic() > deadline:
                raise ClipperException(
                    f"{', '.join(waiting)} did not become ready within {_READY_TIMEOUT_S:.0f} s; "
                    f"see {self._cluster.directory.logs}"
                )
            if waiting:
                time.sleep(_POLL_INTERVAL_S)
