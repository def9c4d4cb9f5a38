"""A cluster under traffic, and what can be done to its parts."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from clipper_admin import ClipperConnection, ProcessContainerManager
from clipper_admin.cluster.readiness import is_serving
from clipper_admin.deployers import python as python_deployer
from clipper_admin.hosts.identity import ProcessIdentity
from clipper_admin.hosts.process import ports
from tests.chaos.traffic import APPLICATION, DEFAULT, LEARNER, SLO_S, Traffic, right
from tests.fixtures.local_clusters import cut_power, kill_supervisor, written_state
from tests.fixtures.stalls import StallMeter
from tests.fixtures.waiting import wait_until

_FROZEN_S = 3.0
_LEARNER_SLO_S = 1.0
_MENDED_WITHIN_S = 30.0
SUPERVISOR = "supervisor"
_QUERY_SERVICE = "clipper.v1.QueryService"


@dataclass(frozen=True, slots=True)
class Scene:
    """A running cluster with two query services, two replicas of a model, one of another, and traffic on both."""

    connection: ClipperConnection
    traffic: Traffic
    meter: StallMeter

    def replica(self, index: int) -> str:
        """The name of one of the model's replicas."""
        return [name for name in self.running() if name.startswith(f"{APPLICATION}_")][index]

    def running(self) -> dict[str, ProcessIdentity | None]:
        """What runs under each name, the supervisor included; to look at it changes nothing."""
        state = written_state(self.connection)
        return {SUPERVISOR: state.supervisor, **{each.spec.name: each.identity for each in state.processes}}

    def kill(self, name: str) -> None:
        """Kills a process and waits until the next does what it did."""
        victim = self._process(name)
        victim.send(signal.SIGKILL)
        wait_until(lambda: self.running()[name] not in (None, victim), _MENDED_WITHIN_S)
        self._wait_until_back(name)

    def kill_supervisor(self) -> None:
        """Kills it; nobody misses it for a while, and then the next command replaces it."""
        kill_supervisor(self.connection)
        _let_pass(_FROZEN_S)
        self.connection.connect()

    def kill_worker(self, service: str) -> None:
        """Kills one process of a query service of several."""
        before = _children(self._process(service).pid)
        identity = ProcessIdentity.of(before[0])
        assert identity is not None
        identity.send(signal.SIGKILL)
        wait_until(lambda: len(set(_children(self._process(service).pid)) - {before[0]}) == len(before))

    def cut_power(self) -> None:
        """Kills everything at once and starts the cluster again."""
        cut_power(self.connection)
        self.connection.start_clipper(num_frontend_replicas=2)

    def freeze(self, name: str) -> None:
        """Stops a process, and has it go on some seconds later."""
        self._freeze(self._process(name))
        self._wait_until_back(name)

    def freeze_worker(self, service: str) -> None:
        """The same for one process of a query service of several."""
        identity = ProcessIdentity.of(_children(self._process(service).pid)[0])
        assert identity is not None
        self._freeze(identity)

    def redeploy(self) -> None:
        """Deploys the next version of the model in place of the one that serves."""
        version = int(self.connection.get_current_model_version(APPLICATION)) + 1
        python_deployer.deploy_python_closure(self.connection, APPLICATION, version, "doubles", right, num_replicas=2)
        self.connection.stop_inactive_model_versions([APPLICATION])

    def _process(self, name: str) -> ProcessIdentity:
        identity = self.running()[name]
        assert identity is not None
        return identity

    def _freeze(self, victim: ProcessIdentity) -> None:
        victim.send(signal.SIGSTOP)
        _let_pass(_FROZEN_S)
        victim.send(signal.SIGCONT)

    def _wait_until_back(self, name: str) -> None:
        if name.startswith(f"{APPLICATION}_"):
            since_s, pid = time.monotonic(), self._process(name).pid
            wait_until(lambda: pid in {each.replica for each in self.traffic.between(since_s)}, _MENDED_WITHIN_S)
        if name.startswith("query-"):
            address = written_state(self.connection).addresses.query_services[int(name.removeprefix("query-"))]
            wait_until(lambda: is_serving(address, _QUERY_SERVICE), _MENDED_WITHIN_S)


@contextmanager
def scene(name: str) -> Iterator[Scene]:
    """A cluster of a name, which is gone afterwards."""
    # The same ports in all of its lives: clients know no others.
    query, management, metrics = ports.free_ports(3)
    connection = ClipperConnection(ProcessContainerManager(name, query, management, metrics))
    try:
        connection.start_clipper(num_frontend_replicas=2)
        for application, replicas, slo_s in ((APPLICATION, 2, SLO_S), (LEARNER, 1, _LEARNER_SLO_S)):
            python_deployer.deploy_python_closure(
                connection, application, 1, "doubles", right, num_replicas=replicas, check=False
            )
            policy = "exp3" if application == LEARNER else "single"
            connection.register_application(
                application, "doubles", DEFAULT, round(slo_s * 1e6), selection_policy=policy
            )
            connection.link_model_to_app(application, application)
        connection.link_model_to_app(LEARNER, APPLICATION)
        # Whoever of the cluster waits for a processor may be why something is late.
        with StallMeter(connection, on_the_way=("",)) as meter, Traffic(connection.get_query_addr()) as traffic:
            yield Scene(connection, traffic, meter)
    finally:
        connection.stop_all(graceful=False)


def resident_bytes(pid: int) -> int:
    """How much of a process is in memory; 0 when it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    lines = (line for line in status.splitlines() if line.startswith("VmRSS:"))
    return sum(int(line.split()[1]) * 1024 for line in lines)


def _children(pid: int) -> list[int]:
    threads = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for thread in threads for child in (thread / "children").read_text().split()]


def _let_pass(seconds: float) -> None:
    """A fault lasts for as long as it lasts: there is nothing to wait for."""
    time.sleep(seconds)
