"""A cluster of local processes: started, found again, and ended, with all that it has."""

import fcntl
import logging
import os
import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from clipper_admin.cluster import plan as parts
from clipper_admin.cluster import readiness
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
from clipper_admin.cluster.readiness import MANAGEMENT_SERVICE, QUERY_SERVICE, is_serving
from clipper_admin.exceptions import ClipperException
from clipper_admin.hosts.process import images, plan, ports
from clipper_admin.hosts.process.directory import ClusterDirectory
from clipper_admin.hosts.process.layout import ClusterOptions, lay_out
from clipper_admin.hosts.process.leftovers import Leftovers
from clipper_admin.hosts.process.process import ProcessSpec, ProcessState, ProcessStatus, how_it_ended
from clipper_admin.hosts.process.state import Addresses as Listeners
from clipper_admin.hosts.process.state import ClusterState, UnreadableState
from clipper_admin.hosts.process.supervision import Supervision
from clipper_admin.logs import ClusterAdapter

_LOG = logging.getLogger(__name__)
_START_TIMEOUT_S = 60.0
# Of somebody else's: a start, or a stop.
_OTHERS_TIMEOUT_S = 60.0
_POLL_INTERVAL_S = 0.05
_KEPT = (ProcessState.RUNNING, ProcessState.RESTARTING)


class ProcessHost(Host):
    """The processes of one cluster; the running one, if there is one, is found by its directory.

    Attributes:
        name: the cluster's name.
        directory: its files.
        supervision: its supervisor.
    """

    def __init__(self, name: str, home: Path, query_port: int = 0, admin_port: int = 0, metrics_port: int = 0) -> None:
        """Takes whose processes these are.

        Args:
            name: the cluster's name.
            home: where all clusters keep their files.
            query_port: for predictions, from the next start on; 0: a free one.
            admin_port: for administration, likewise.
            metrics_port: for the first query service's metrics, likewise.
        """
        self.name = name
        self.directory = ClusterDirectory(home / "clusters" / name)
        self.supervision = Supervision(name, self.directory)
        self._home = home
        self._leftovers = Leftovers(home)
        self._ports = (query_port, admin_port, metrics_port)
        self._logger = ClusterAdapter(_LOG, name)

    def start(self, options: Options) -> float | None:
        """Starts the cluster, and the replicas of one that was killed, which are not waited for; see Host."""
        chosen = ClusterOptions(*self._ports, options.query_services, options.cache_size_bytes)
        self._logger.info("Starting the cluster's processes in %s", self.directory.root)
        self.directory.create()
        while (lock := self._lock_unless_served()) is not None:
            planned = None
            try:
                with os.fdopen(lock):
                    planned = self._plan_life(chosen)
                    begun_s = time.monotonic()
                    self.supervision.begin(lock)
                if planned is not None:
                    self._wait_until_serving(planned.addresses)
                    return begun_s
            except BaseException:
                if planned is not None and self._lives(planned.addresses):
                    self.supervision.end(graceful=False, forget=False)
                raise
        tell_what_runs(self._logger, chosen.arguments(), ClusterOptions.of(self.state()).arguments())
        return None

    def addresses(self) -> Addresses:
        """Where the cluster is found; the metrics are those of the first query service."""
        known = self.state().addresses
        return Addresses(known.query, known.admin, known.metrics[0])

    def end(self, *, graceful: bool, keep_state: bool) -> None:
        """Ends all processes; the logs stay in any case. See Host."""
        if self.directory.root.exists():
            environments = self._leftovers.environments_of(*self.directory.all_images())
            self.supervision.end(graceful=graceful, forget=not keep_state)
            if not keep_state:
                self._leftovers.free_environments(environments)

    @contextmanager
    def claim(self, purpose: str) -> Iterator[None]:
        """Holds a lock on a file, which ends with its holder; see Host."""
        with self.directory.claim_file(purpose).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._logger.info("Another program is just busy with %s; waiting for it", purpose)
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def build(self, files: ModelFiles) -> str:
        """Copies the model's files and prepares their environment; returns the image's directory."""
        return str(images.build(self.directory.images, self._home, files, self._surroundings()))

    def identify(self, image: str) -> str:
        """The image's directory, which is never another's."""
        images.load(image)
        return str(Path(image))

    def fingerprint(self, image: str) -> str:
        """As it was written down when the image was built; see Host."""
        return str(images.description(Path(image)).get("fingerprint", ""))

    def packages(self, image: str) -> list[str]:
        """The image's lock or, where the model has the services' environment, what that has; see Host."""
        return images.packages(image)

    def free(self, images: Collection[str]) -> None:
        """Removes directories of images, and environments; see Host."""
        self._leftovers.free([Path(image) for image in images if Path(image).parent == self.directory.images])

    def prune(self, *, dry_run: bool) -> list[Leftover]:
        """Removes what all clusters of the home have left; see Host."""
        return self._leftovers.prune(dry_run=dry_run)

    def run(self, artefact: Artefact, count: int, load_timeout_s: float) -> list[str]:
        """Has the supervisor start replicas, each on a port of its own; see Host."""
        image = images.load(artefact.image)
        management = self.state().addresses.management_service
        taken = [int(name.rpartition("-")[2]) for name in (each.name for each in self.components() if each.model_id)]
        specs = [
            plan.replica(
                artefact,
                index=index,
                load_timeout_s=load_timeout_s,
                image=image,
                port=port,
                management=management,
            )
            for index, port in enumerate(ports.free_ports(count), start=max(taken, default=-1) + 1)
        ]
        self.supervision.order("start", specs=[spec.to_json() for spec in specs])
        return [spec.name for spec in specs]

    def components(self, version: str = "") -> list[Component]:
        """What the supervisor keeps, or has given up; see Host."""
        return [_component(*each) for each in self._supervised() if version in ("", each[1].model_id)]

    def keep(self, names: Collection[str]) -> None:
        """The supervisor keeps everything from the beginning on."""

    def stop(self, names: Collection[str], *, graceful: bool = True) -> None:
        """Has the supervisor end these; see Host."""
        if names:
            self.supervision.order("stop", names=[*names], graceful=graceful)

    def log_tail(self, name: str) -> str:
        """The last lines that a process wrote, with a heading."""
        return f"The end of its log ({self.directory.log_file(name)}):\n{self.directory.log_tail(name)}"

    def logs(self, directory: Path) -> list[Path]:
        """Copies the processes' logs, the supervisor's included; see Host."""
        self.supervision.ensure()
        return [Path(shutil.copy2(log, directory / log.name)) for log in self.directory.log_files()]

    def state(self) -> ClusterState:
        """The running cluster, with a supervisor.

        Raises:
            ClipperException: it does not run.
        """
        state = self.supervision.ensure()
        if state is None:
            raise ClipperException(
                f"There is no running cluster {self.name} in {self.directory.root}. "
                "ClipperConnection.start_clipper starts one"
            )
        if not state.alive():
            raise ClipperException(
                f"There is no running cluster {self.name} in {self.directory.root}, but what it was is kept there. "
                "ClipperConnection.start_clipper starts it again"
            )
        return state

    def processes(self) -> list[ProcessStatus]:
        """How its processes stand."""
        return [status for _spec, status in self._supervised()]

    def _surroundings(self) -> dict[str, str]:
        """The environment that replicas inherit, which is not that of whoever deploys; empty while nothing runs."""
        state = self.supervision.state()
        return {} if state is None or state.supervisor is None else state.supervisor.environment()

    def _supervised(self) -> Iterator[tuple[ProcessSpec, ProcessStatus]]:
        for each in self.supervision.order("status"):
            yield ProcessSpec.from_json(each["spec"]), ProcessStatus.from_json(each["status"])

    def _lock_unless_served(self) -> int | None:
        """Locks the cluster as soon as nobody runs it; None when it serves."""
        deadline = time.monotonic() + _OTHERS_TIMEOUT_S
        while (lock := self.directory.try_lock()) is None:
            if self._serves():
                return None
            if time.monotonic() > deadline:
                raise ClipperException(
                    f"Cluster {self.name} runs already but did not serve within {_OTHERS_TIMEOUT_S:.0f} s; see "
                    f"{self.directory.logs}. ClipperConnection.stop_all stops it, and then it can be started again"
                )
            time.sleep(_POLL_INTERVAL_S)
        return lock

    def _serves(self) -> bool:
        try:
            state = self.supervision.state()
        except UnreadableState:
            return False
        # Without its supervisor a state is a plan, or what an earlier life left at ports that are another's by now.
        if state is None or not state.is_supervised():
            return False
        listening = state.addresses
        return is_serving(listening.query, QUERY_SERVICE) and is_serving(listening.admin, MANAGEMENT_SERVICE)

    def _plan_life(self, options: ClusterOptions) -> ClusterState | None:
        """Writes down how the cluster's next life is to look; None when its last has not ended."""
        last = self._last_state()
        if last is not None and last.alive():
            return None
        self.supervision.end_leftovers()
        self.directory.prepare()
        planned = lay_out(self.directory, options, () if last is None else last.replicas())
        self.directory.begin_logs()
        planned.write(self.directory.state_file)
        return planned

    def _last_state(self) -> ClusterState | None:
        try:
            return self.supervision.state()
        except UnreadableState as error:
            aside = self.directory.put_state_aside()
            self._logger.warning(
                "%s. It is now %s; which replicas ran is not known any more, what is registered is", error, aside
            )
            return None

    def _wait_until_serving(self, addresses: Listeners) -> None:
        probes = [(address, QUERY_SERVICE) for address in (*addresses.query_services, addresses.query)]
        probes.append((addresses.admin, MANAGEMENT_SERVICE))
        if not readiness.wait_until_serving(probes, lambda: self._check_services(addresses), _START_TIMEOUT_S):
            raise ClipperException(
                f"Cluster {self.name} did not serve within {_START_TIMEOUT_S:.0f} s; see {self.directory.logs}"
            )

    def _lives(self, addresses: Listeners) -> bool:
        """Whether the life with these addresses has not been followed by another, which another program has begun."""
        with suppress(UnreadableState):
            state = self.supervision.state()
            return state is None or state.addresses == addresses
        return True

    def _check_services(self, addresses: Listeners) -> None:
        if not self._lives(addresses):
            raise ClipperException(f"Another program has stopped cluster {self.name} while it started, and begun anew")
        for each in self.components():
            if each.ending and not each.model_id:
                raise self.failure(each, f"{each.ending} while the cluster started; {self.directory.root} is kept")


def _component(spec: ProcessSpec, status: ProcessStatus) -> Component:
    # Its files lie in the image's directory.
    artefact = parts.artefact(spec.environment, str(Path(spec.environment.get(parts.MODEL_PATH, "")).parent))
    return Component(
        name=status.name,
        state=status.state,
        is_kept=status.state in _KEPT,
        ending=how_it_ended(status.exit_code) if status.deaths else "",
        deaths=status.deaths,
        artefact=artefact,
        address=ports.address(spec.ready_port) if artefact else "",
    )
