"""What is measured, running: a cluster of local processes, and the baseline behind an Envoy of its own.

Commands, environments and Envoy's configuration are those of `clipper_admin.hosts.process`, so they are what a user of
ProcessContainerManager runs. Processes are kept here without its supervisor, which would start again what died.
"""

import json
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import cloudpickle
import grpc
from clipper.v1 import management_service_pb2
from clipper.v1.management_service_pb2_grpc import ManagementServiceStub

from bench import probes
from bench.payloads import OUTPUT, SERVICE
from bench.processes import Process
from clipper_admin.cluster.readiness import is_serving
from clipper_admin.hosts.process import edge, plan, ports
from clipper_admin.hosts.process.directory import ClusterDirectory
from clipper_admin.hosts.process.process import ProcessSpec
from services.query.settings import Settings

ADAPTIVE = "adaptive"
SINGLE = "single"
"""Two applications, each linked to a model of its own name: batches adapt, or are of one input."""
BANDIT = "exp3"
ENSEMBLE = "majority"
"""Two applications that are linked to all of the same models, named after their selection policies."""
ARMS = ("arm-1", "arm-2", "arm-3", "arm-4")

_BATCH_SIZES = {ADAPTIVE: -1, SINGLE: 1, **dict.fromkeys(ARMS, -1)}
_LINKS = {ADAPTIVE: [ADAPTIVE], SINGLE: [SINGLE], BANDIT: list(ARMS), ENSEMBLE: list(ARMS)}
_POLICIES = {ADAPTIVE: "single", SINGLE: "single", BANDIT: "exp3", ENSEMBLE: "majority"}
_INPUT_TYPE = "doubles"
# Far away: a late answer is to be seen in the latencies and not to change what is answered.
_SLO_MICROS = 2_000_000
_SERVING = '"serving"'
_MANAGEMENT_SERVICE = "clipper.v1.ManagementService"


@dataclass(frozen=True, slots=True)
class QueryService:
    """A query service.

    Attributes:
        address: host:port of its gRPC port.
        metrics: host:port of its Prometheus text.
        process: its process.
    """

    address: str
    metrics: str
    process: Process


@dataclass(frozen=True, slots=True)
class Edge:
    """An Envoy.

    Attributes:
        address: host:port for predictions.
        process: its process.
    """

    address: str
    process: Process


@dataclass(frozen=True, slots=True)
class Cluster:
    """Clipper.

    Attributes:
        query: a query service without a cache, the one behind `edge`.
        caching_query: one with the cache that is the default.
        edge: the REST edge.
        containers: a model container each, by the model's name.
        management: host:port of the management service.
        redis_port: where Redis listens.
    """

    query: QueryService
    caching_query: QueryService
    edge: Edge
    containers: Mapping[str, Process]
    management: str
    redis_port: int


@dataclass(frozen=True, slots=True)
class Baseline:
    """The bare server.

    Attributes:
        address: host:port.
        process: its process.
        edge: the REST edge in front of it.
    """

    address: str
    process: Process
    edge: Edge


@contextmanager
def running_cluster(root: Path) -> Iterator[Cluster]:
    """A cluster with all applications registered, which answers predictions.

    Raises:
        BenchmarkError: a process ended, or something was not ready in time.
    """
    directory = _prepared(root)
    with ExitStack() as stack:
        redis_port, management_port = ports.free_ports(2)
        management = ports.address(management_port)
        _start(stack, directory, plan.redis(directory, redis_port), lambda: True)
        _start(
            stack,
            directory,
            plan.management(management_port, redis_port),
            lambda: is_serving(management, _MANAGEMENT_SERVICE),
        )
        _register(management)
        containers = {name: _container(stack, directory, name, management) for name in _BATCH_SIZES}
        query = _query_service(stack, directory, 0, redis_port, cache_size_bytes=0)
        default_size = Settings(redis_url="").cache_size_bytes
        caching_query = _query_service(stack, directory, 1, redis_port, cache_size_bytes=default_size)
        query_edge = _edge(stack, directory, query.address, management)
        yield Cluster(query, caching_query, query_edge, containers, management, redis_port)


@contextmanager
def running_query_service(root: Path, cluster: Cluster, processes: int) -> Iterator[QueryService]:
    """One more query service without a cache, of so many processes, all of which answer predictions.

    Raises:
        BenchmarkError: it ended, or was not ready in time.
    """
    with ExitStack() as stack:
        service = _query_service(stack, _prepared(root), 0, cluster.redis_port, cache_size_bytes=0, processes=processes)
        service.process.wait_until(lambda: service.process.has_logged(_SERVING), f"the start of {processes} processes")
        yield service


@contextmanager
def running_baseline(root: Path, cluster: Cluster) -> Iterator[Baseline]:
    """The baseline, which answers what `cluster` answers.

    Raises:
        BenchmarkError: a process ended, or something was not ready in time.
    """
    directory = _prepared(root)
    answers = probes.raw_answers(cluster.query.address, ADAPTIVE)
    file = directory.root / "answers.json"
    file.write_text(json.dumps({method: b64encode(answer).decode() for method, answer in answers.items()}))
    with ExitStack() as stack:
        (port,) = ports.free_ports(1)
        address = ports.address(port)
        command = [sys.executable, "-m", "bench.baseline", address, str(file)]
        process = stack.enter_context(Process("baseline", command, {}, directory.log_file("baseline")))
        process.wait_until(lambda: is_serving(address, SERVICE), "the baseline's start")
        yield Baseline(address, process, _edge(stack, directory, address, cluster.management))


def _prepared(root: Path) -> ClusterDirectory:
    directory = ClusterDirectory(root)
    directory.create()
    directory.prepare()
    return directory


def _start(stack: ExitStack, directory: ClusterDirectory, spec: ProcessSpec, ready: Callable[[], bool]) -> Process:
    process = Process(spec.name, spec.command, spec.environment, directory.log_file(spec.name))
    stack.enter_context(process)
    process.wait_until(ready, f"the start of {spec.name}")
    return process


def _register(management: str) -> None:
    with grpc.insecure_channel(management) as channel:
        stub = ManagementServiceStub(channel)
        for name, batch_size in _BATCH_SIZES.items():
            stub.AddModel(
                management_service_pb2.AddModelRequest(
                    model_name=name,
                    model_version="1",
                    input_type=_INPUT_TYPE,
                    container_name="NO_CONTAINER",
                    model_data_path="",
                    batch_size=batch_size,
                )
            )
        for name, models in _LINKS.items():
            stub.AddApplication(
                management_service_pb2.AddApplicationRequest(
                    name=name,
                    input_type=_INPUT_TYPE,
                    default_output="none",
                    latency_slo_micros=_SLO_MICROS,
                    selection_policy=_POLICIES[name],
                )
            )
            stub.AddModelLinks(management_service_pb2.AddModelLinksRequest(app_name=name, model_names=models))


def _container(stack: ExitStack, directory: ClusterDirectory, name: str, management: str) -> Process:
    model = directory.images / name
    model.mkdir(parents=True, exist_ok=True)
    output = OUTPUT
    (model / "func.pkl").write_bytes(cloudpickle.dumps(lambda inputs: [output] * len(inputs)))
    (port,) = ports.free_ports(1)
    spec = plan.replica(
        model_name=name,
        version="1",
        index=0,
        input_type=_INPUT_TYPE,
        model=model,
        python=sys.executable,
        port=port,
        management=management,
    )
    return _start(stack, directory, spec, lambda: is_serving(ports.address(port)))


def _query_service(
    stack: ExitStack,
    directory: ClusterDirectory,
    index: int,
    redis_port: int,
    cache_size_bytes: int,
    processes: int = 1,
) -> QueryService:
    port, metrics_port = ports.free_ports(2)
    address = ports.address(port)
    spec = plan.query(index, port, metrics_port, redis_port, cache_size_bytes)
    spec = replace(spec, environment={**spec.environment, "CLIPPER_PROCESSES": str(processes)})
    process = _start(
        stack, directory, spec, lambda: all(probes.is_predicting(address, application) for application in _LINKS)
    )
    return QueryService(address, ports.address(metrics_port), process)


def _edge(stack: ExitStack, directory: ClusterDirectory, query_service: str, management: str) -> Edge:
    port, admin_port, envoy_admin_port = ports.free_ports(3)
    configuration = edge.write_configuration(
        directory.envoy,
        query_port=port,
        admin_port=admin_port,
        envoy_admin_port=envoy_admin_port,
        query_services=[query_service],
        management_service=management,
    )
    spec = plan.envoy(configuration, port)
    return Edge(ports.address(port), _start(stack, directory, spec, lambda: is_serving(ports.address(port), SERVICE)))
