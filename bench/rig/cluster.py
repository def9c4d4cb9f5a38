"""Clipper, running as a user of `ProcessContainerManager` runs it, with what it takes to serve one thing after another.

Nothing but the public interface of `clipper_admin` is used; processes are found by a mark in their environment.
"""

import os
import re
import signal
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from bench.rig import counters, probes
from bench.rig.errors import BenchmarkError
from bench.rig.meter import CONTAINER, ENVOY, SERVER, Meter
from bench.rig.models import Model
from bench.rig.processes import MARK, Marked, Process, children, is_alive, marked, output_file
from clipper_admin import ClipperConnection, ClipperException, ProcessContainerManager
from clipper_admin.deployers import python as python_deployer

INPUT_TYPE = "doubles"
DEFAULT_OUTPUT = "none"
_MICROS = 1e6
# What names a process's part in a cluster: a word of its command.
_SUPERVISOR = "supervisor"
_WORDS = {
    SERVER: "services.query",
    CONTAINER: "services.model_container",
    ENVOY: "--disable-hot-restart",
    _SUPERVISOR: "clipper_admin.hosts.process",
}
_ADDRESS, _METRICS, _PROCESSES = "CLIPPER_ADDRESS", "CLIPPER_METRICS_ADDRESS", "CLIPPER_PROCESSES"
_SERVING = '"serving"'
_PORT = re.compile(r'("?port_value"?: )(\d+)')


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
UNBATCHED = Batching("no batching", "fixed", batch_size=1)


@dataclass(frozen=True, slots=True)
class Latency:
    """How long an application's requests took by the query service's own clock, right to within 5 %."""

    p50_s: float
    p99_s: float


@dataclass(frozen=True, slots=True)
class QueryService:
    """A query service.

    Attributes:
        address: host:port of its gRPC port.
        metrics: host:port of its Prometheus text.
        pids: its processes.
    """

    address: str
    metrics: str
    pids: Sequence[int]


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running cluster.

    Attributes:
        mark: that of its processes.
        edge: host:port of its Envoy, for predictions.
        query_services: one or more.
        logs: where logs are copied in the end.
    """

    mark: str
    edge: str
    query_services: Sequence[QueryService]
    logs: Path
    _connection: ClipperConnection = field(repr=False)

    @property
    def query(self) -> QueryService:
        """The first query service."""
        return self.query_services[0]

    @contextmanager
    def serving(self, *models: Model, batching: Batching = ADAPTIVE, replicas: int = 1) -> Iterator[None]:
        """Has models served, each by so many containers, as long as the context lasts.

        Raises:
            BenchmarkError: in the end, when a container died.
        """
        try:
            for model in models:
                python_deployer.deploy_python_closure(
                    self._connection,
                    model.name,
                    1,
                    INPUT_TYPE,
                    model.function,
                    num_replicas=replicas,
                    batch_size=batching.batch_size,
                    pkgs_to_install=model.packages,
                    batching_policy=batching.policy,
                    batch_delay_micros=batching.delay_micros,
                )
            containers = self.containers(models)
            yield
            self._check_alive(containers)
        finally:
            self._connection.stop_models([model.name for model in models])

    @contextmanager
    def application(
        self, name: str, models: Sequence[Model], slo_s: float, policy: str = "single", **options: Any
    ) -> Iterator[str]:
        """The name of an application that uses all of the models, as long as the context lasts.

        Args:
            name: what it is called.
            models: served ones.
            slo_s: its latency objective.
            policy: its selection policy.
            options: further ones of ClipperConnection.register_application.
        """
        self._connection.register_application(
            name, INPUT_TYPE, DEFAULT_OUTPUT, round(slo_s * _MICROS), selection_policy=policy, **options
        )
        try:
            for model in models:
                self._connection.link_model_to_app(name, model.name)
            yield name
        finally:
            self._connection.unregister_application(name)

    @contextmanager
    def extra_query_service(self, directory: Path, application: str, processes: int = 1) -> Iterator[QueryService]:
        """One more query service, of so many processes, all of which answer the application's predictions.

        Raises:
            BenchmarkError: it ended, or was not ready in time.
        """
        first = next(each for each in self._processes(SERVER) if each.pid in self.query.pids)
        address, metrics = free_addresses(2)
        environment = {**first.environment, _ADDRESS: address, _METRICS: metrics, _PROCESSES: str(processes)}
        with Process("query", first.command, environment, directory / "query.log") as process:
            predicts = partial(probes.is_predicting, address, application)
            process.wait_until(lambda: process.has_logged(_SERVING) and predicts(), "the start of a query service")
            yield QueryService(address, metrics, process.workers)

    def meter(self, application: str, models: Sequence[Model]) -> Meter:
        """What the first query service counts of an application and the first of the models, and who works for it."""
        pids = {SERVER: self.query.pids, CONTAINER: self.containers(models)}
        return Meter(counters.reader(self.query.metrics, application, models[0].name), pids)

    def containers(self, models: Sequence[Model]) -> list[int]:
        """The processes of all containers of these models."""
        return pids_of_containers(self.mark, [model.name for model in models])

    def envoy(self) -> list[int]:
        """The process of the edge."""
        return [each.pid for each in self._processes(ENVOY)]

    def parts(self) -> dict[str, int]:
        """All processes, those of models and the supervisor included, by the names that their logs have."""
        supervisor = self._supervisor()
        # Redis has no mark: it writes its title over its environment.
        return {output_file(pid).stem: pid for pid in sorted((supervisor, *children(supervisor)))}

    def log_directory(self) -> Path:
        """Where logs are until then."""
        return output_file(self._supervisor()).parent

    def edge_before(self, server: str, directory: Path) -> tuple[str, list[str]]:
        """An Envoy configured as the cluster's, before another query service at host:port: its address and command."""
        command = list(self._processes(ENVOY)[0].command)
        place = command.index("-c") + 1
        configuration = Path(command[place]).read_text()
        others = {port for _, port in _PORT.findall(configuration)} - {_port(self.query.address)}
        ports = {port: _port(address) for port, address in zip(others, free_addresses(len(others)), strict=True)}
        ports[_port(self.query.address)] = _port(server)
        file = directory / "envoy.yaml"
        file.write_text(_PORT.sub(lambda found: found[1] + ports[found[2]], configuration))
        command[place] = str(file)
        return self.edge.replace(_port(self.edge), ports[_port(self.edge)]), command

    def latency(self, application: str) -> Latency:
        """Of an application's requests until now."""
        histograms = self._connection.inspect_instance()["histograms"]
        name = f"app:{application}:prediction_latency"
        found = next(each[name] for each in histograms if name in each)
        return Latency(found["p50"] / _MICROS, found["p99"] / _MICROS)

    def selection_state(self, application: str) -> dict[str, float]:
        """What an application has learned for nobody in particular."""
        return dict(self._connection.get_selection_state(application)["state"])

    def kill_query_service(self, index: int) -> None:
        """Kills one; the cluster starts it again."""
        for pid in self.query_services[index].pids:
            os.kill(pid, signal.SIGKILL)

    def check_nothing_died(self) -> None:
        """BenchmarkError when a query service had to be started again."""
        self._check_alive([pid for service in self.query_services for pid in service.pids])

    def _check_alive(self, pids: Sequence[int]) -> None:
        if not all(map(is_alive, pids)):
            raise BenchmarkError(f"a process of the cluster died; see {self.logs}")

    def _supervisor(self) -> int:
        supervisors = self._processes(_SUPERVISOR)
        if not supervisors:
            raise BenchmarkError(f"the supervisor died; see {self.logs}")
        return supervisors[0].pid

    def _processes(self, part: str) -> list[Marked]:
        return [each for each in marked(self.mark) if _WORDS[part] in each.command]


@contextmanager
def running_cluster(name: str, logs: Path, query_services: int = 1, **options: Any) -> Iterator[Cluster]:
    """A cluster without a model, which ends with the context.

    Args:
        name: what it is called.
        logs: where logs are copied in the end.
        query_services: how many it has.
        options: further ones of ClipperConnection.start_clipper.

    Raises:
        BenchmarkError: one of this name runs already.
    """
    connection = ClipperConnection(ProcessContainerManager(name, query_port=0, management_port=0, metrics_port=0))
    _check_not_running(connection, name)
    mark = f"{name}-{os.getpid()}"
    try:
        with _marking(mark):
            connection.start_clipper(num_frontend_replicas=query_services, **options)
        yield Cluster(mark, connection.get_query_addr(), found_query_services(mark), logs, connection)
    finally:
        connection.get_clipper_logs(str(logs))
        connection.stop_all(graceful=False)


@contextmanager
def _marking(mark: str) -> Iterator[None]:
    """What is started meanwhile is marked, and what that starts, ever."""
    os.environ[MARK] = mark
    try:
        yield
    finally:
        del os.environ[MARK]


def _check_not_running(connection: ClipperConnection, name: str) -> None:
    with suppress(ClipperException):
        connection.connect()
        raise BenchmarkError(
            f"a cluster {name} runs already: another benchmark's or, if that was killed, what it left behind, which "
            f"`python -m clipper_admin stop --cluster {name}` stops"
        )


def found_query_services(mark: str) -> list[QueryService]:
    """The query services, of one process each, that were started under this mark, by their addresses."""
    found: Mapping[str, QueryService] = {
        each.environment[_ADDRESS]: QueryService(each.environment[_ADDRESS], each.environment[_METRICS], [each.pid])
        for each in marked(mark)
        if _WORDS[SERVER] in each.command
    }
    return [found[address] for address in sorted(found)]


def pids_of_containers(mark: str, models: Sequence[str]) -> list[int]:
    """The model containers of these models that were started under this mark."""
    containers = [each for each in marked(mark) if _WORDS[CONTAINER] in each.command]
    return [each.pid for each in containers if each.environment["CLIPPER_MODEL_NAME"] in models]


def free_addresses(count: int) -> list[str]:
    """Different ones, host:port, that nobody listens at."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return ["{}:{}".format(*each.getsockname()) for each in sockets]


def _port(address: str) -> str:
    return address.rpartition(":")[2]
