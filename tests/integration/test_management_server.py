"""The management service's life: its start, its drain, its process."""

import asyncio
import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import AsyncExitStack
from typing import Any, cast

import grpc
import grpc.aio
import pytest
from clipper.v1 import management_service_pb2 as pb
from clipper.v1.management_service_pb2_grpc import ManagementServiceStub
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from services.common.names import MANAGEMENT_SERVICE
from services.management.server import running
from services.management.settings import Settings
from tests.fixtures import management
from tests.fixtures.management import RENEWAL, Failure, Stub, applicant, ask, failure_of, serving
from tests.fixtures.redis_server import RedisServer
from tests.fixtures.waiting import eventually

PATIENCE_S = 30.0
DRAINED = Failure(grpc.StatusCode.UNAVAILABLE, "NOT_SERVING", "The management service is shutting down")


def test_reflection_lists_the_services(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        async with (
            running(management.settings(redis_server)) as port,
            grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
        ):
            stub: Any = reflection_pb2_grpc.ServerReflectionStub(cast(Any, channel))
            stream = stub.ServerReflectionInfo()
            await stream.write(reflection_pb2.ServerReflectionRequest(list_services=""))
            answer = await stream.read()
            names = {service.name for service in answer.list_services_response.service}
            assert names >= {MANAGEMENT_SERVICE, "grpc.health.v1.Health"}
            await stream.done_writing()

    asyncio.run(scenario())


def test_a_method_of_the_health_service_that_it_does_not_have_is_no_failure_of_its_own(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with (
            running(management.settings(redis_server)) as port,
            grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
        ):
            listing: Any = channel.unary_unary("/grpc.health.v1.Health/List")
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await listing(b"")
            assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
            assert refused.value.details() == "The management service does not have this method"

    asyncio.run(scenario())
    assert "unexpectedly" not in caplog.text


def test_a_drain_says_not_serving_and_sends_lease_holders_elsewhere_before_the_grace(
    redis_server: RedisServer,
) -> None:
    async def scenario() -> None:
        async with AsyncExitStack() as stack, serving(redis_server) as other:
            patient = dataclasses.replace(management.settings(redis_server), drain_grace_s=2 * PATIENCE_S)
            port = await stack.enter_async_context(running(patient))
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                stub: Stub = ManagementServiceStub(channel)
                stream = stub.HoldReplicaLease()
                await ask(stream, applicant())
                watch = management.health(channel).Watch(health_pb2.HealthCheckRequest(service=""))
                assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
                begun = time.monotonic()
                draining = asyncio.ensure_future(stack.aclose())
                assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
                watch.cancel()
                with pytest.raises(grpc.aio.AioRpcError) as raised:
                    await stream.read()
                assert failure_of(raised.value) == DRAINED
                await draining
                assert time.monotonic() - begun < PATIENCE_S
                again = await ask(other.HoldReplicaLease(), applicant(model_replica_id=0))
                assert again.model_replica_id == 0

    asyncio.run(scenario())


def test_a_port_that_is_taken_is_an_error(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        async with running(management.settings(redis_server)) as port:
            taken = Settings(redis_url=redis_server.url, address=f"127.0.0.1:{port}")
            with pytest.raises(RuntimeError, match=str(port)):
                async with running(taken):
                    pass

    asyncio.run(scenario())


def start(redis_url: str, *command: str, **environment: str) -> "subprocess.Popen[str]":
    """The service as a process of its own, begun by another command than usual if one is given."""
    return subprocess.Popen(
        [sys.executable, *(command or ("-m", "services.management"))],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(sys.path),
            "CLIPPER_REDIS_URL": redis_url,
            "CLIPPER_ADDRESS": "127.0.0.1:0",
            **environment,
        },
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_process_does_not_outlive_its_server(redis_server: RedisServer) -> None:
    program = """
from services.management import __main__, aio_server
def end(*_of_a_call):
    raise RuntimeError("whatever grpcio dies of")
aio_server.cygrpc._handle_rpc = end
__main__.main()
"""
    process = start(redis_server.url, "-c", program)
    assert process.stderr is not None
    port = next(line["port"] for line in map(json.loads, process.stderr) if line["message"] == "serving")
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel, pytest.raises(grpc.RpcError):
        channel.unary_unary("/nobody/Knows", bytes, bytes)(b"", timeout=PATIENCE_S)
    _, log = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == os.EX_SOFTWARE
    assert "the server ended, and the process does, too" in log
    assert "whatever grpcio dies of" in log


def test_sigterm_drains_the_process_with_an_open_lease_and_ends_it_with_0(redis_server: RedisServer) -> None:
    process = start(redis_server.url)
    assert process.stderr is not None
    port = next(found for line in process.stderr if (found := re.search(r'"port": (\d+)', line)))[1]

    async def scenario() -> None:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub: Stub = ManagementServiceStub(channel)
            stream = stub.HoldReplicaLease()
            await ask(stream, applicant())
            await ask(stream, RENEWAL)
            process.send_signal(signal.SIGTERM)
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await stream.read()
            assert failure_of(raised.value) == DRAINED

        async def has_ended() -> bool:
            return process.poll() is not None

        await eventually(has_ended)

    try:
        asyncio.run(scenario())
        rest = process.stderr.read()
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
    assert process.returncode == 0, rest
    assert "Traceback" not in rest, rest


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"CLIPPER_REDIS_URL": ""}, "CLIPPER_REDIS_URL"),
        ({"CLIPPER_LEASE_TTL_S": "soon"}, "CLIPPER_LEASE_TTL_S"),
    ],
)
def test_a_process_with_wrong_settings_says_which(environment: dict[str, str], told: str) -> None:
    process = start("redis://127.0.0.1:1/0", **environment)
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert told in errors
    assert "Traceback" not in errors


def test_pong_needs_no_redis() -> None:
    async def scenario() -> None:
        settings = Settings(redis_url="redis://127.0.0.1:1/0", address="127.0.0.1:0")
        async with (
            running(settings) as port,
            grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
        ):
            stub: Stub = ManagementServiceStub(channel)
            assert (await stub.Ping(pb.PingRequest())).rest.data == b"PONG"

    asyncio.run(scenario())
