"""The baseline: the least that a server on grpcio's public API can do, `python -m bench.studies.floors.baseline`.

One process on grpc.aio that decodes nothing and answers each call with fixed bytes, those that Clipper answers the same
call with. Whatever a prediction server in Python on grpc.aio does, it is not faster than this. Besides it answers the
health checks that Envoy asks of a query service.
"""

import asyncio
import json
import sys
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from bench.rig import counters, probes
from bench.rig.bench import Bench
from bench.rig.cluster import free_addresses
from bench.rig.lanes import Server
from bench.rig.meter import SERVER, Meter
from bench.rig.payloads import SERVICE
from bench.rig.processes import Process

Handler = Callable[[bytes, "grpc.aio.ServicerContext[bytes, bytes]"], Awaitable[bytes]]


async def serve(address: str, answers: dict[str, bytes]) -> None:
    """Serves until the process ends.

    Args:
        address: host:port to bind.
        answers: what to answer, by the method's name.
    """
    server = grpc.aio.server()
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        method: grpc.unary_unary_rpc_method_handler(_answering(answer)) for method, answer in answers.items()
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    health_servicer = health.aio.HealthServicer()
    await health_servicer.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
    server.add_insecure_port(address)
    await server.start()
    await server.wait_for_termination()


def _answering(answer: bytes) -> Handler:
    async def handle(_request: bytes, _context: "grpc.aio.ServicerContext[bytes, bytes]") -> bytes:
        return answer

    return handle


@contextmanager
def running(bench: Bench, application: str) -> Iterator[Server]:
    """The baseline, which answers what the cluster answers for an application, behind an Envoy like the cluster's.

    Raises:
        BenchmarkError: a process ended, or was not ready in time.
    """
    directory, cluster = bench.directory(), bench.cluster
    (address,) = free_addresses(1)
    answers = probes.raw_answers(cluster.query.address, application)
    file = directory / "answers.json"
    file.write_text(json.dumps({method: b64encode(answer).decode() for method, answer in answers.items()}))
    command = [sys.executable, "-m", "bench.studies.floors.baseline", address, str(file)]
    edge, edge_command = cluster.edge_before(address, directory)
    with (
        Process("baseline", command, {}, directory / "baseline.log") as server,
        Process("Envoy", edge_command, {}, directory / "envoy.log") as envoy,
    ):
        server.wait_until(partial(probes.is_serving, address), "the baseline's start")
        envoy.wait_until(partial(probes.is_serving, edge), "the start of the baseline's Envoy")
        meter = Meter(lambda: counters.NONE, {SERVER: [server.pid]})
        yield Server(address, application, meter, bench.directory, edge, [envoy.pid], is_counted=False)


def main() -> None:
    """Reads the answers, a JSON object of base64 by method, and serves."""
    address, file = sys.argv[1:]
    answers = {method: b64decode(text) for method, text in json.loads(Path(file).read_text()).items()}
    asyncio.run(serve(address, answers))


if __name__ == "__main__":
    main()
