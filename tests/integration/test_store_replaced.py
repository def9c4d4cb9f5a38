"""A Redis that holds another store than the one that services work with: emptied, older, another's. Nobody obeys."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
import requests
from clipper.v1 import management_service_pb2 as pb
from clipper.v1.management_service_pb2_grpc import ManagementServiceStub
from grpc_health.v1 import health_pb2

from services.common.names import MANAGEMENT_SERVICE, QUERY_SERVICE, STORE
from services.management.server import running
from tests.fixtures import management
from tests.fixtures.management import Stub, applicant, ask, failure, serving
from tests.fixtures.query_services import NOT_SERVING, PATIENCE_S, SERVING, QueryServiceProcess, Registry, request
from tests.fixtures.redis_server import RedisServer
from tests.fixtures.waiting import eventually, wait_until

REFUSED = "the store is refused; the known configuration stays in force"
REMEDY = "restart the management and the query services"


class Misfortune:
    """What may befall a store, whose files are kept as they are when this is made."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._older = server.files()

    def emptied(self) -> None:
        """Somebody empties it."""
        self._server.client().flushall()

    def older(self) -> None:
        """It is started with the older files."""
        self._server.put_in_place(self._older)

    def exchanged(self) -> None:
        """Another cluster's is in its place, just as far."""
        revision = int(str(self._server.client().get("clipper:revision")))
        self.emptied()
        registry = Registry(self._server)
        for number in range(revision):
            registry.add_application(f"another-{number}", None)


Happen = Callable[[Misfortune], None]
MISFORTUNES = pytest.mark.parametrize("happen", [Misfortune.emptied, Misfortune.older, Misfortune.exchanged])


def answers(service: QueryServiceProcess, application: str) -> bool:
    try:
        return bool(service.stub().Predict(request(application, [[1.0]]), timeout=PATIENCE_S).predictions)
    except grpc.RpcError:
        return False


def refuses(service: QueryServiceProcess) -> bool:
    text = requests.get(f"http://{service.metrics_address}/metrics", timeout=PATIENCE_S).text
    return "clipper_store_refused 1.0" in text


def content(server: RedisServer) -> dict[bytes, bytes]:
    """All that is in it."""
    client: Any = server.client(decode_responses=False)
    return {key: client.dump(key) for key in client.scan_iter()}


@MISFORTUNES
def test_a_query_service_serves_on_by_what_it_knows_until_its_store_is_back(
    redis_server: RedisServer, tmp_path: Path, happen: Happen
) -> None:
    registry = Registry(redis_server)
    registry.add_application("early", None)
    misfortune = Misfortune(redis_server)
    registry.add_application("late", None)
    with QueryServiceProcess(redis_server, tmp_path) as service:
        service.expected_errors.add(REFUSED)
        assert answers(service, "late")
        right = redis_server.files()
        happen(misfortune)
        wait_until(lambda: refuses(service))
        Registry(redis_server).add_application("foreign", None)
        # Who starts now knows of no other store: that is how an operator says that this one is meant.
        with QueryServiceProcess(redis_server, tmp_path) as restarted:
            assert [answers(restarted, name) for name in ("late", "foreign")] == [False, True]
        assert [answers(service, name) for name in ("late", "foreign")] == [True, False]
        wait_until(lambda: service.health(STORE) == NOT_SERVING)
        assert service.health(QUERY_SERVICE) == SERVING
        assert all(REMEDY in line["cause"] for line in service.errors())

        redis_server.put_in_place(right)
        wait_until(lambda: not refuses(service))
        Registry(redis_server).add_application("later", None)
        wait_until(lambda: answers(service, "later"))
        wait_until(lambda: service.health(STORE) == SERVING)


@MISFORTUNES
def test_management_neither_writes_to_it_nor_shows_it(redis_server: RedisServer, happen: Happen) -> None:
    async def scenario() -> None:
        async with serving(redis_server, lease_ttl_s=0.4) as stub:
            misfortune = Misfortune(redis_server)
            lease = stub.HoldReplicaLease()
            await ask(lease, applicant())
            await stub.AddApplication(management.application())
            right = redis_server.files()
            await asyncio.to_thread(happen, misfortune)
            before = content(redis_server)

            for call in calls(stub):
                refused = await failure(call)
                assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_REPLACED")
                assert REMEDY in refused.message
            other = stub.HoldReplicaLease()
            await other.write(applicant("10.0.0.2:9000"))
            assert await other.code() is grpc.StatusCode.UNAVAILABLE
            # A holder keeps its lease, as while the store is away.
            await ask(lease, management.RENEWAL)
            assert content(redis_server) == before

            await asyncio.to_thread(redis_server.put_in_place, right)
            await stub.AddApplication(management.application(name="later"))
            await ask(lease, management.RENEWAL)
            assert await management.replica_keys(stub) == ["forest:1:0"]
            assert await names(stub) == ["digits", "later"]

    asyncio.run(scenario())


@MISFORTUNES
def test_management_that_is_started_again_takes_what_is_there(redis_server: RedisServer, happen: Happen) -> None:
    async def scenario() -> None:
        async with serving(redis_server) as stub:
            misfortune = Misfortune(redis_server)
            await stub.AddApplication(management.application(name="gone"))
        await asyncio.to_thread(happen, misfortune)
        async with serving(redis_server) as stub:
            assert "gone" not in await names(stub)
            await stub.AddApplication(management.application())
            assert "digits" in await names(stub)

    asyncio.run(scenario())


@MISFORTUNES
def test_management_says_that_it_is_not_ready_and_why(
    redis_server: RedisServer, happen: Happen, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with (
            running(management.settings(redis_server)) as port,
            grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
        ):

            async def tells(status: int) -> bool:
                question = health_pb2.HealthCheckRequest(service=MANAGEMENT_SERVICE)
                return bool((await management.health(channel).Check(question)).status == status)

            misfortune = Misfortune(redis_server)
            await ManagementServiceStub(channel).AddApplication(management.application())
            await eventually(lambda: tells(SERVING))
            right = redis_server.files()
            await asyncio.to_thread(happen, misfortune)
            await eventually(lambda: tells(NOT_SERVING))
            await eventually(lambda: has_told(caplog))
            await asyncio.to_thread(redis_server.put_in_place, right)
            await eventually(lambda: tells(SERVING))

    with caplog.at_level(logging.ERROR):
        asyncio.run(scenario())


async def has_told(caplog: pytest.LogCaptureFixture) -> bool:
    return any(REMEDY in record.getMessage() for record in caplog.records)


def calls(stub: Stub) -> list[Awaitable[object]]:
    """Calls that write, and that read."""
    return [
        stub.AddApplication(management.application(name="other")),
        stub.DeleteApplication(pb.DeleteApplicationRequest(name="digits")),
        stub.AddModel(management.model()),
        stub.GetAllApplications(pb.GetAllApplicationsRequest(verbose=True)),
        stub.GetAllReplicas(pb.GetAllReplicasRequest(verbose=True)),
    ]


async def names(stub: Stub) -> list[str]:
    """The registered applications."""
    answer = await stub.GetAllApplications(pb.GetAllApplicationsRequest(verbose=False))
    return sorted(each.name for each in answer.applications)
