"""An unreadable record or change in Redis is in nobody's way but its own, and can be registered again or deleted."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import grpc
import pytest
from clipper.v1 import management_service_pb2 as pb

from services.common.records import Kind
from tests.fixtures import management
from tests.fixtures.management import Stub, applicant, ask, failure, register, replica_keys, serving
from tests.fixtures.redis_server import RedisServer
from tests.fixtures.vandal import UNREADABLE, Vandal
from tests.fixtures.waiting import eventually

LINK = pb.AddModelLinksRequest(app_name="digits", model_names=["forest"])


def play(redis: RedisServer, scenario: Callable[[Stub, Vandal], Awaitable[None]]) -> None:
    """Runs `scenario` against a management service and who spoils its store."""

    async def main() -> None:
        async with serving(redis, lease_ttl_s=1.0) as stub:
            await scenario(stub, Vandal(redis))

    asyncio.run(main())


async def names(stub: Stub) -> list[str]:
    """The registered applications."""
    answer = await stub.GetAllApplications(pb.GetAllApplicationsRequest(verbose=True))
    return [each.name for each in answer.applications]


def quarantined(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The keys that were told to be, in order."""
    return [vars(record)["key"] for record in caplog.records if record.getMessage().startswith("quarantined")]


def test_unreadable_records_are_left_out_of_lists_and_told_once(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(stub: Stub, vandal: Vandal) -> None:
        for place, text in enumerate(UNREADABLE.values()):
            for kind in Kind:
                vandal.put(kind, f"{kind}:{place}", text)
        await register(stub, management.application(), management.model(), LINK)
        for _ in range(2):
            assert await names(stub) == ["digits"]
            models = await stub.GetAllModels(pb.GetAllModelsRequest(verbose=True))
            assert [each.model_name for each in models.models] == ["forest"]
            assert await replica_keys(stub) == []
        await stub.DeleteApplication(pb.DeleteApplicationRequest(name="digits"))
        assert await names(stub) == []

    with caplog.at_level(logging.ERROR):
        play(redis_server, scenario)
    assert sorted(quarantined(caplog)) == sorted(f"{kind}:{place}" for place in range(len(UNREADABLE)) for kind in Kind)


@pytest.mark.parametrize("text", UNREADABLE.values(), ids=UNREADABLE)
def test_what_is_unreadable_can_be_registered_again_or_deleted(redis_server: RedisServer, text: bytes) -> None:
    async def scenario(stub: Stub, vandal: Vandal) -> None:
        delete = pb.DeleteApplicationRequest(name="digits")
        for kind, key in ((Kind.APPLICATION, "digits"), (Kind.MODEL_VERSION, "forest:1")):
            vandal.put(kind, key, text)
        await register(stub, management.application(), management.model(), LINK)
        assert await names(stub) == ["digits"]
        for kind, key in ((Kind.APPLICATION, "digits"), (Kind.MODEL_VERSION, "forest:1")):
            vandal.put(kind, key, text)
        assert await names(stub) == []
        await stub.DeleteApplication(delete)
        await stub.DeleteModelVersion(pb.DeleteModelVersionRequest(model_name="forest", model_version="1"))
        assert (await failure(stub.DeleteApplication(delete))).code is grpc.StatusCode.NOT_FOUND
        assert vandal.keys(Kind.APPLICATION) == vandal.keys(Kind.MODEL_VERSION) == set()
        assert vandal.keys(Kind.CURRENT_VERSION) == set()

    play(redis_server, scenario)


def test_an_unreadable_replica_is_put_right_by_its_holder_and_swept_without_one(redis_server: RedisServer) -> None:
    async def scenario(stub: Stub, vandal: Vandal) -> None:
        lease = stub.HoldReplicaLease()
        await ask(lease, applicant())
        vandal.put(Kind.REPLICA, "forest:1:0", b"{}")
        assert await replica_keys(stub) == []
        await ask(lease, management.RENEWAL)
        assert await replica_keys(stub) == ["forest:1:0"]
        lease.cancel()
        vandal.put(Kind.REPLICA, "forest:1:0", b"{}")

        async def is_gone() -> bool:
            return not vandal.keys(Kind.REPLICA)

        await eventually(is_gone)

    play(redis_server, scenario)


@pytest.mark.parametrize("entry_id", ["*", "18446744073709551615-0"])
def test_an_entry_that_is_no_revision_keeps_nobody_from_changing_anything(
    redis_server: RedisServer, entry_id: str
) -> None:
    async def scenario(stub: Stub, vandal: Vandal) -> None:
        await register(stub, management.application())
        vandal.append_at(entry_id)
        for number in range(3):
            await register(stub, management.application(name=f"later-{number}"))
        assert await names(stub) == ["digits", "later-0", "later-1", "later-2"]

    play(redis_server, scenario)


def test_a_follower_whose_revision_is_unreadable_is_not_waited_for(redis_server: RedisServer) -> None:
    async def scenario(stub: Stub, vandal: Vandal) -> None:
        vandal.set("follower:somebody", "nonsense")
        vandal.add_follower("somebody")
        await register(stub, management.application())
        assert await names(stub) == ["digits"]

    play(redis_server, scenario)


def test_a_policy_by_its_path_is_refused_with_what_to_set_unless_it_is_allowed(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        own = management.application(selection_policy="my.policies:Mine")
        async with serving(redis_server) as stub:
            refused = await failure(stub.AddApplication(own))
            assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_INPUT")
            assert "'my.policies:Mine' is not allowed" in refused.message
            assert "CLIPPER_POLICY_PREFIXES" in refused.message
            assert await names(stub) == []
        async with serving(redis_server, policy_prefixes=("my",)) as stub:
            await stub.AddApplication(own)
            assert await names(stub) == ["digits"]
            refused = await failure(
                stub.AddApplication(management.application(name="other", selection_policy="unittest.__main__:Foo"))
            )
            assert "it lists 'my'" in refused.message

    asyncio.run(scenario())
