"""The baseline: the least that a server on grpcio's public API can do, `python -m bench.baseline ADDRESS ANSWERS`.

One process on grpc.aio that decodes nothing and answers each call with fixed bytes, those that Clipper answers the same
call with. Whatever a prediction server in Python on grpc.aio does, it is not faster than this. Besides it answers the
health checks that Envoy asks of a query service.
"""

import asyncio
import json
import sys
from base64 import b64decode
from collections.abc import Awaitable, Callable
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from bench.payloads import SERVICE

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


def main() -> None:
    """Reads the answers, a JSON object of base64 by method, and serves."""
    address, file = sys.argv[1:]
    answers = {method: b64decode(text) for method, text in json.loads(Path(file).read_text()).items()}
    asyncio.run(serve(address, answers))


if __name__ == "__main__":
    main()
