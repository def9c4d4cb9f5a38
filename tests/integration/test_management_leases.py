"""Leases of replicas over real streams and a real Redis."""

import asyncio
import json
import time

import grpc
import pytest
from clipper.v1 import input_pb2
from clipper.v1 import management_service_pb2 as pb

from services.common.names import InputType
from services.common.records import Change, Replica
from services.store import Store
from tests.fixtures.management import (
    LASTING_S,
    RELEASE,
    RENEWAL,
    Failure,
    LeaseStream,
    Stub,
    applicant,
    ask,
    failure_of,
    replica_keys,
    serving,
)
from tests.fixtures.redis_server import RedisServer
from tests.fixtures.waiting import eventually

# Of leases that are to lapse, or are renewed as often as a busy machine may need it.
TTL_S = 2.0
# Times of leases are whole milliseconds.
CLOCK_STEP_S = 0.001


async def renew_for(stream: LeaseStream, seconds: float) -> None:
    """Renews a lease as a container does, only more often."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        await ask(stream, RENEWAL)
        await asyncio.sleep(TTL_S / 20)


async def open_lease(
    stub: Stub, request: pb.HoldReplicaLeaseRequest, ttl_s: float = LASTING_S
) -> tuple[LeaseStream, int]:
    """A stream with an open lease, and the replica's id."""
    stream = stub.HoldReplicaLease()
    answer = await ask(stream, request)
    assert answer.time_to_live_micros == round(ttl_s * 1_000_000)
    return stream, answer.model_replica_id


def test_replicas_are_counted_from_0_for_each_version_and_described(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        async with serving(redis_server, LASTING_S) as stub:
            _, first = await open_lease(stub, applicant("10.0.0.1:9000"))
            _, second = await open_lease(stub, applicant("10.0.0.2:9000"))
            _, other = await open_lease(stub, applicant("10.0.0.3:9000", model_version="2"))
            assert (first, second, other) == (0, 1, 0)
            question = pb.GetReplicaRequest(model_name="forest", model_version="1", replica_id=1)
            answer = await stub.GetReplica(question)
            assert answer.replica == pb.Replica(
                model_name="forest",
                model_version="1",
                model_replica_id=1,
                input_type=input_pb2.INPUT_TYPE_DOUBLES,
                address="10.0.0.2:9000",
            )
            described = {
                "model_id": "forest:1",
                "model_name": "forest",
                "model_version": "1",
                "model_replica_id": 1,
                "input_type": "doubles",
            }
            assert json.loads(answer.rest.data) == described
            every = await stub.GetAllReplicas(pb.GetAllReplicasRequest(verbose=True))
            assert json.loads(every.rest.data)[1] == described
            names = await stub.GetAllReplicas(pb.GetAllReplicasRequest(verbose=False))
            assert names.rest.data == b'["forest:1:0","forest:1:1","forest:2:0"]'
            unknown = pb.GetReplicaRequest(model_name="forest", model_version="1", replica_id=2)
            assert (await stub.GetReplica(unknown)).rest.data == b"{}"

    asyncio.run(scenario())


def test_a_replica_is_told_from_what_an_earlier_one_has_left_at_its_address(redis_server: RedisServer) -> None:
    left_s = LASTING_S / 2

    async def ages_s(stub: Stub) -> list[float]:
        answer = await stub.GetAllReplicas(pb.GetAllReplicasRequest(verbose=False))
        return [replica.lease_age_micros / 1e6 for replica in answer.replicas]

    async def scenario() -> None:
        store, left = Store.connect(redis_server.url), Replica("forest", "1", 0, InputType.DOUBLES, "10.0.0.1:9000")
        await store.renew_lease(left, expires_at_ms=round((time.time() + LASTING_S - left_s) * 1_000))
        await store.update(lambda _: [Change.put(left)])
        await store.close()
        async with serving(redis_server, LASTING_S) as stub:
            [age_s] = await ages_s(stub)
            assert age_s >= left_s
            began_s = time.monotonic()
            await open_lease(stub, applicant("10.0.0.1:9000"))
            [age_s] = await ages_s(stub)
            assert 0 <= age_s <= time.monotonic() - began_s + CLOCK_STEP_S

    asyncio.run(scenario())


def test_a_renewed_lease_outlasts_its_time_to_live_and_a_broken_stream_lets_it_lapse(
    redis_server: RedisServer,
) -> None:
    async def scenario() -> None:
        async with serving(redis_server, TTL_S) as stub:
            stream, _ = await open_lease(stub, applicant(), TTL_S)
            await renew_for(stream, 1.5 * TTL_S)
            assert await replica_keys(stub) == ["forest:1:0"]
            stream.cancel()
            await asyncio.sleep(0)
            assert await replica_keys(stub) == ["forest:1:0"]
            await eventually(lambda: no_replicas(stub))

    asyncio.run(scenario())


async def no_replicas(stub: Stub) -> bool:
    return await replica_keys(stub) == []


def test_a_released_lease_ends_at_once_and_its_id_is_not_given_again(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        async with serving(redis_server, LASTING_S) as stub:
            stream, _ = await open_lease(stub, applicant())
            await stream.write(RELEASE)
            assert await stream.code() is grpc.StatusCode.OK
            assert await replica_keys(stub) == []
            _, successor = await open_lease(stub, applicant())
            assert successor == 1

    asyncio.run(scenario())


def test_a_first_message_that_releases_leaves_no_replica(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        async with serving(redis_server, LASTING_S) as stub:
            request = applicant(model_replica_id=0)
            request.release = True
            stream = stub.HoldReplicaLease()
            await stream.write(request)
            assert await stream.code() is grpc.StatusCode.OK
            assert await replica_keys(stub) == []

    asyncio.run(scenario())


def test_a_lease_is_opened_again_elsewhere_with_the_same_id_without_a_gap(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        async with serving(redis_server, TTL_S) as one, serving(redis_server, TTL_S) as other:
            stream, replica_id = await open_lease(one, applicant(), TTL_S)
            stream.cancel()
            before = await revision(redis_server)
            stream, kept = await open_lease(other, applicant(model_replica_id=replica_id), TTL_S)
            assert kept == replica_id
            await renew_for(stream, 1.5 * TTL_S)
            assert await replica_keys(one) == ["forest:1:0"]
            assert await revision(redis_server) == before

    asyncio.run(scenario())


async def revision(redis: RedisServer) -> int:
    store = Store.connect(redis.url)
    try:
        return (await store.snapshot()).revision
    finally:
        await store.close()


def test_the_id_of_a_living_replica_is_not_given_to_another(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        async with serving(redis_server, LASTING_S) as stub:
            await open_lease(stub, applicant("10.0.0.1:9000"))
            _, given = await open_lease(stub, applicant("10.0.0.2:9000", model_replica_id=0))
            assert given == 1
            assert await replica_keys(stub) == ["forest:1:0", "forest:1:1"]

    asyncio.run(scenario())


def test_a_replica_replaces_what_was_registered_at_its_address(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        async with serving(redis_server, LASTING_S) as stub:
            stream, _ = await open_lease(stub, applicant("10.0.0.1:9000"))
            stream.cancel()
            await open_lease(stub, applicant("10.0.0.1:9000", model_name="svm"))
            assert await replica_keys(stub) == ["svm:1:0"]

    asyncio.run(scenario())


def test_a_renewal_brings_back_a_record_that_was_lost(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        async with serving(redis_server, LASTING_S) as stub:
            stream, _ = await open_lease(stub, applicant())
            store = Store.connect(redis_server.url)
            await store.update(lambda known: [Change.delete(replica) for replica in known.replicas.values()])
            await store.close()
            assert await replica_keys(stub) == []
            await ask(stream, RENEWAL)
            assert await replica_keys(stub) == ["forest:1:0"]

    asyncio.run(scenario())


def test_lapsed_leases_are_spared_for_one_time_to_live_after_the_start(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        store = Store.connect(redis_server.url)
        for number in range(2):
            replica = Replica("forest", "1", number, InputType.DOUBLES, f"10.0.0.{number}:9000")
            await store.renew_lease(replica, expires_at_ms=1)
            await store.update(lambda _, replica=replica: [Change.put(replica)])  # type: ignore[misc]
        await store.close()
        started = time.monotonic()
        async with serving(redis_server, TTL_S) as stub:
            stream, _ = await open_lease(stub, applicant("10.0.0.1:9000", model_replica_id=1), TTL_S)
            assert await replica_keys(stub) == ["forest:1:0", "forest:1:1"]
            renewing = asyncio.ensure_future(renew_for(stream, 2 * TTL_S))
            await eventually(lambda: only_the_second(stub))
            assert time.monotonic() - started >= TTL_S
            await renewing
            assert await only_the_second(stub)

    asyncio.run(scenario())


async def only_the_second(stub: Stub) -> bool:
    return await replica_keys(stub) == ["forest:1:1"]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (RENEWAL, "The first message of a lease must say which replica this is"),
        (applicant(input_type=0), "Invalid input type 0 of a replica"),
        (applicant(""), "A replica's address must be host:port, not ''"),
        (applicant(model_name="a:b"), "Invalid model name supplied: a:b. Contains one of: ',', ':'"),
    ],
)
def test_a_replica_that_does_not_say_what_it_is_gets_no_lease(
    redis_server: RedisServer, request_: pb.HoldReplicaLeaseRequest, message: str
) -> None:
    async def scenario() -> None:
        async with serving(redis_server, TTL_S) as stub:
            stream = stub.HoldReplicaLease()
            await stream.write(request_)
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await stream.read()
            assert failure_of(raised.value) == Failure(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_INPUT", message)
            assert await replica_keys(stub) == []

    asyncio.run(scenario())
