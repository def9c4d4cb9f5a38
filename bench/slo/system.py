"""Clipper, running as `ProcessContainerManager` runs it, with what it takes to serve one model after the other."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench import counters
from bench.counters import Counters
from bench.errors import BenchmarkError
from bench.processes import cpu_s
from bench.slo.models import Subject
from clipper_admin import ClipperConnection, ProcessContainerManager
from clipper_admin.deployers import python as python_deployer
from clipper_admin.hosts.process.directory import clipper_home
from clipper_admin.hosts.process.host import ProcessHost
from clipper_admin.hosts.process.process import ProcessStatus

QUERY = "query service"
CONTAINER = "container"
_CLUSTER = "bench-slo"
_INPUT_TYPE = "doubles"
_DEFAULT_OUTPUT = "none"
_QUERY_PROCESS = "query-0"


@dataclass(frozen=True, slots=True)
class Batching:
    """How a model's batches are made.

    Attributes:
        title: what the tables call it.
        policy: a batching policy.
        batch_size: the largest batch; -1: none.
        delay_micros: how long the first query of a batch may wait for others.
    """

    title: str
    policy: str
    batch_size: int = -1
    delay_micros: int = 0


ADAPTIVE = Batching("adaptive", "adaptive")


@dataclass(frozen=True, slots=True)
class Tenant:
    """An application on somebody else's model.

    Attributes:
        name: the application's.
        share: its weight.
    """

    name: str
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class System:
    """A running cluster.

    Attributes:
        address: host:port of its query service.
        metrics: host:port of the query service's Prometheus text.
        scratch: an empty directory for the generators' files.
    """

    address: str
    metrics: str
    scratch: Path
    _connection: ClipperConnection = field(repr=False)
    _cluster: ProcessHost = field(repr=False)

    @contextmanager
    def serving(
        self,
        subject: Subject,
        slo_s: float,
        batching: Batching = ADAPTIVE,
        *,
        replicas: int = 1,
        use_cache: bool = False,
    ) -> Iterator[str]:
        """The name of an application that the subject serves as long as the context lasts."""
        name = subject.name
        self._connection.register_application(
            name, _INPUT_TYPE, _DEFAULT_OUTPUT, round(slo_s * 1e6), use_cache=use_cache
        )
        python_deployer.deploy_python_closure(
            self._connection,
            name,
            1,
            _INPUT_TYPE,
            subject.function,
            num_replicas=replicas,
            batch_size=batching.batch_size,
            pkgs_to_install=subject.packages,
            batching_policy=batching.policy,
            batch_delay_micros=batching.delay_micros,
        )
        self._connection.link_model_to_app(name, name)
        try:
            yield name
        finally:
            self._connection.unregister_application(name)
            self._connection.stop_models([name])

    @contextmanager
    def tenant(self, tenant: Tenant, model: str, slo_s: float) -> Iterator[str]:
        """The name of one more application on a model that is served, as long as the context lasts."""
        self._connection.register_application(
            tenant.name, _INPUT_TYPE, _DEFAULT_OUTPUT, round(slo_s * 1e6), share=tenant.share, use_cache=False
        )
        self._connection.link_model_to_app(tenant.name, model)
        try:
            yield tenant.name
        finally:
            self._connection.unregister_application(tenant.name)

    def counters(self, name: str) -> Callable[[], Counters]:
        """Reads the query service's counters of an application and the model of its name."""
        return counters.reader(self.metrics, name)

    def cpu_s(self) -> Mapping[str, float]:
        """Processor time used until now, in seconds, by the query service and by all containers together."""
        used_s = {QUERY: 0.0, CONTAINER: 0.0}
        for status in self._processes():
            if status.name == _QUERY_PROCESS:
                used_s[QUERY] += cpu_s(status.pid)
            elif status.model_id:
                used_s[CONTAINER] += cpu_s(status.pid)
        return used_s

    def check_nothing_died(self) -> None:
        """BenchmarkError when a process had to be started again."""
        died = [status.name for status in self._processes() if status.deaths]
        if died:
            raise BenchmarkError(f"{', '.join(died)} died; see {self._cluster.directory.logs}")

    def _processes(self) -> list[ProcessStatus]:
        return self._cluster.processes()


@contextmanager
def running_system(scratch: Path) -> Iterator[System]:
    """A cluster of one query service and no model."""
    manager = ProcessContainerManager(_CLUSTER, query_port=0, management_port=0, metrics_port=0)
    connection = ClipperConnection(manager)
    cluster = ProcessHost(_CLUSTER, clipper_home())
    connection.start_clipper()
    try:
        addresses = cluster.state().addresses
        yield System(addresses.query_services[0], addresses.metrics[0], scratch, connection, cluster)
    finally:
        connection.stop_all(graceful=False)
