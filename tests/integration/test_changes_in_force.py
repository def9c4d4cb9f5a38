"""A change is answered when every query service works by it."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from clipper.v1 import management_service_pb2 as pb

from tests.fixtures import management, model_containers
from tests.fixtures.management import Stub, ask
from tests.fixtures.query_services import PATIENCE_S, QueryServiceProcess, request
from tests.fixtures.redis_server import RedisServer

VERSIONS = ("1", "2")
# What a service that died or froze may cost a change, and how long it may do so.
LONGEST_WAIT_S = 1.0
FORGOTTEN_AFTER_S = 3.0


@pytest.fixture
def query_services(redis_server: RedisServer, tmp_path: Path) -> Iterator[list[QueryServiceProcess]]:
    with ExitStack() as stack:
        services = [stack.enter_context(QueryServiceProcess(redis_server, tmp_path)) for _ in range(2)]
        for service in services:
            service.health("")
        yield services


@asynccontextmanager
async def forest(redis: RedisServer) -> AsyncIterator[Stub]:
    """Management, with an application "digits" linked to two versions that tell which one they are."""
    async with management.serving(redis) as stub:
        with ExitStack() as containers:
            leases = []
            for version in VERSIONS:

                def tell(inputs: Any, version: str = version) -> list[str]:
                    return [version] * len(inputs)

                container = containers.enter_context(model_containers.serving(tell))
                lease = stub.HoldReplicaLease()
                await ask(lease, management.applicant(container.address, model_version=version))
                leases.append(lease)
                await management.register(stub, management.model(model_version=version))
            links = pb.AddModelLinksRequest(app_name="digits", model_names=["forest"])
            slo_micros = round(PATIENCE_S * 1e6)
            await management.register(stub, management.application(latency_slo_micros=slo_micros), links)
            yield stub
            # Containers wait for the streams of query services, which end with the leases.
            for lease in leases:
                await lease.write(management.RELEASE)
                await lease.code()


async def answers(services: list[QueryServiceProcess]) -> set[str]:
    """What the query services answer now."""
    calls = [service.stub().Predict.future(request("digits", [[1.0]]), timeout=PATIENCE_S) for service in services]
    return {(await asyncio.to_thread(call.result)).predictions[0].output for call in calls}


async def make_current(stub: Stub, version: str) -> float:
    """How many seconds it took until management said that a version is current."""
    started_s = time.monotonic()
    await stub.SetModelVersion(pb.SetModelVersionRequest(model_name="forest", model_version=version))
    return time.monotonic() - started_s


@pytest.mark.alone
def test_whoever_changed_something_finds_it_changed(
    redis_server: RedisServer, query_services: list[QueryServiceProcess]
) -> None:
    async def scenario() -> None:
        async with forest(redis_server) as stub:
            assert await answers(query_services) == {"2"}
            for version in VERSIONS * 20:
                await make_current(stub, version)
                assert await answers(query_services) == {version}
            await stub.DeleteApplication(pb.DeleteApplicationRequest(name="digits"))
            for service in query_services:
                call = service.stub().Predict.future(request("digits", [[1.0]]), timeout=PATIENCE_S)
                assert call.code() is grpc.StatusCode.NOT_FOUND

    asyncio.run(scenario())


@pytest.mark.alone
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_dead_or_frozen_query_service_delays_changes_briefly_and_not_for_long(
    redis_server: RedisServer, query_services: list[QueryServiceProcess], number: signal.Signals
) -> None:
    async def scenario() -> None:
        async with forest(redis_server) as stub:
            victim, other = query_services
            victim.process.send_signal(number)
            ended_s = time.monotonic()
            assert await make_current(stub, "1") < LONGEST_WAIT_S + 0.5
            assert await answers([other]) == {"1"}
            while await make_current(stub, "2") > LONGEST_WAIT_S / 2:
                assert time.monotonic() < ended_s + FORGOTTEN_AFTER_S + LONGEST_WAIT_S
            assert await answers([other]) == {"2"}
            victim.process.kill()

    asyncio.run(scenario())


@pytest.mark.alone
def test_a_query_service_that_ended_is_not_waited_for(
    redis_server: RedisServer, query_services: list[QueryServiceProcess]
) -> None:
    async def scenario() -> None:
        async with forest(redis_server) as stub:
            ended, other = query_services
            ended.process.terminate()
            assert await asyncio.to_thread(ended.end) == 0
            assert await make_current(stub, "1") < LONGEST_WAIT_S / 2
            assert await answers([other]) == {"1"}

    asyncio.run(scenario())
