"""What clients and containers notice while Redis is away, and when it is back."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import grpc.aio
from clipper.v1 import management_service_pb2 as pb
from clipper.v1.management_service_pb2_grpc import ManagementServiceStub
from grpc_health.v1 import health_pb2

from services.common.names import MANAGEMENT_SERVICE
from services.management.server import running
from tests.fixtures import management
from tests.fixtures.management import RENEWAL, Failure, LeaseStream, Stub, applicant, ask, failure, replica_keys
from tests.fixtures.redis_server import RedisServer
from tests.fixtures.waiting import eventually

TTL_S = 2.0
PATIENCE_S = 30.0
AWAY = Failure(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE", "The configuration store cannot be reached")
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@asynccontextmanager
async def channel_to_service(redis: RedisServer) -> AsyncIterator[grpc.aio.Channel]:
    async with (
        running(management.settings(redis, TTL_S)) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        yield channel


async def health(channel: grpc.aio.Channel, service: str) -> int:
    """What grpc.health.v1 says of a service."""
    answer = await management.health(channel).Check(health_pb2.HealthCheckRequest(service=service))
    return int(answer.status)


async def until_ready(channel: grpc.aio.Channel, wanted: int) -> None:
    """Returns when the management service's health is as wanted."""

    async def is_so() -> bool:
        return await health(channel, MANAGEMENT_SERVICE) == wanted

    await eventually(is_so)


async def application_names(stub: Stub) -> list[str]:
    answer = await stub.GetAllApplications(pb.GetAllApplicationsRequest(verbose=False))
    return [application.name for application in answer.applications]


def test_without_redis_rpcs_are_refused_at_once_and_work_again_when_it_is_back(
    redis_server: RedisServer,
) -> None:
    async def scenario() -> None:
        async with channel_to_service(redis_server) as channel:
            stub: Stub = ManagementServiceStub(channel)
            await stub.AddApplication(management.application())
            redis_server.kill()
            asked = time.monotonic()
            assert await failure(stub.AddApplication(management.application(name="other"))) == AWAY
            assert await failure(stub.GetAllApplications(pb.GetAllApplicationsRequest(verbose=True))) == AWAY
            assert time.monotonic() - asked < PATIENCE_S
            assert (await stub.Ping(pb.PingRequest())).rest.data == b"PONG"
            redis_server.start()
            assert await application_names(stub) == ["digits"]
            await stub.AddApplication(management.application(name="other"))
            assert await application_names(stub) == ["digits", "other"]

    asyncio.run(scenario())


def test_a_redis_that_hangs_counts_as_away(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        async with channel_to_service(redis_server) as channel:
            stub: Stub = ManagementServiceStub(channel)
            await stub.AddApplication(management.application())
            redis_server.freeze()
            asked = time.monotonic()
            assert await failure(stub.GetApplication(pb.GetApplicationRequest(name="digits"))) == AWAY
            assert time.monotonic() - asked < PATIENCE_S
            redis_server.thaw()
            assert await application_names(stub) == ["digits"]

    asyncio.run(scenario())


def test_health_tells_readiness_of_the_service_from_life_of_the_process(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        async with channel_to_service(redis_server) as channel:
            await until_ready(channel, SERVING)
            redis_server.kill()
            await until_ready(channel, NOT_SERVING)
            assert await health(channel, "") == SERVING
            redis_server.start()
            await until_ready(channel, SERVING)

    asyncio.run(scenario())


def test_a_service_started_without_redis_waits_for_it(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        redis_server.kill()
        async with channel_to_service(redis_server) as channel:
            stub: Stub = ManagementServiceStub(channel)
            assert await failure(stub.AddApplication(management.application())) == AWAY
            redis_server.start()
            await stub.AddApplication(management.application())
            await until_ready(channel, SERVING)

    asyncio.run(scenario())


def test_a_lease_outlives_an_outage_of_redis_on_the_same_stream(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        async with channel_to_service(redis_server) as channel:
            stub: Stub = ManagementServiceStub(channel)
            stream = stub.HoldReplicaLease()
            await ask(stream, applicant())
            redis_server.kill()
            end = time.monotonic() + 1.5 * TTL_S
            while time.monotonic() < end:
                assert (await ask(stream, RENEWAL)).model_replica_id == 0
                await asyncio.sleep(TTL_S / 20)
            redis_server.start()
            await hold(stub, stream)

    asyncio.run(scenario())


async def hold(stub: Stub, stream: LeaseStream) -> None:
    """Renews the lease for longer than a grace period lasts; the replica stays registered throughout."""
    end = time.monotonic() + 1.5 * TTL_S
    while time.monotonic() < end:
        assert await replica_keys(stub) == ["forest:1:0"]
        await ask(stream, RENEWAL)
        await asyncio.sleep(TTL_S / 20)


def test_a_container_may_return_within_one_time_to_live_after_an_outage(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        async with channel_to_service(redis_server) as channel:
            stub: Stub = ManagementServiceStub(channel)
            stream = stub.HoldReplicaLease()
            await ask(stream, applicant())
            await asyncio.sleep(TTL_S / 2)
            redis_server.kill()
            stream.cancel()
            await asyncio.sleep(TTL_S)
            redis_server.start()
            await asyncio.sleep(TTL_S / 2)
            assert await replica_keys(stub) == ["forest:1:0"]
            stream = stub.HoldReplicaLease()
            await ask(stream, applicant(model_replica_id=0))
            await hold(stub, stream)

    asyncio.run(scenario())


def test_a_lease_that_cannot_be_opened_or_released_is_refused(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        async with channel_to_service(redis_server) as channel:
            stub: Stub = ManagementServiceStub(channel)
            held = stub.HoldReplicaLease()
            await ask(held, applicant())
            redis_server.kill()
            await held.write(management.RELEASE)
            assert await held.code() is grpc.StatusCode.UNAVAILABLE
            opened = stub.HoldReplicaLease()
            await opened.write(applicant())
            assert await opened.code() is grpc.StatusCode.UNAVAILABLE

    asyncio.run(scenario())
