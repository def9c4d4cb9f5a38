"""The admin RPCs over a real channel and a real Redis."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from clipper.v1 import management_service_pb2 as pb

from services.store import Store
from tests.fixtures import management
from tests.fixtures.management import Stub, register, serving
from tests.fixtures.redis_server import RedisServer

APPLICATION = management.application()
MODEL = management.model()
LINK = pb.AddModelLinksRequest(app_name="digits", model_names=["forest"])
TEXTS = management.application(name="texts", input_type="strings")
WRITERS = 20


def play(redis: RedisServer, scenario: Callable[[Stub], Awaitable[None]]) -> None:
    """Runs `scenario` against a management service on `redis`."""

    async def main() -> None:
        async with serving(redis) as stub:
            await scenario(stub)

    asyncio.run(main())


async def sentence(call: Any) -> str:
    """The REST body of a command."""
    answer = await call
    assert answer.rest.content_type == "application/json"
    return str(answer.rest.data.decode())


async def document(call: Any) -> Any:
    """The REST body of a getter."""
    return json.loads(await sentence(call))


def test_ping_answers_pong(redis_server: RedisServer) -> None:
    async def scenario(stub: Stub) -> None:
        assert await sentence(stub.Ping(pb.PingRequest())) == "PONG"

    play(redis_server, scenario)


def test_an_application_is_registered_described_and_deleted(redis_server: RedisServer) -> None:
    async def scenario(stub: Stub) -> None:
        added = await sentence(stub.AddApplication(APPLICATION))
        assert added == "Successfully added application with name 'digits'"
        await register(stub, TEXTS)
        described = {
            "name": "digits", "input_type": "doubles", "default_output": "-1.0", "latency_slo_micros": 100_000,
            "linked_models": [], "priority": "normal", "share": 1.0, "use_cache": True, "cache_ttl_micros": 0,
            "selection_policy": "single", "policy_parameters": {}, "confidence_threshold": 0.0, "loss": "zero_one",
            "loss_scale": 1.0, "feedback_window_s": 3_600, "context_ttl_s": 2_592_000, "combine": "vote",
            "missing": "error", "schema": {},
        }  # fmt: skip
        assert await document(stub.GetApplication(pb.GetApplicationRequest(name="digits"))) == described
        assert await document(stub.GetApplication(pb.GetApplicationRequest(name="oak"))) == {}
        names = await document(stub.GetAllApplications(pb.GetAllApplicationsRequest(verbose=False)))
        assert names == ["digits", "texts"]
        verbose = await stub.GetAllApplications(pb.GetAllApplicationsRequest(verbose=True))
        assert json.loads(verbose.rest.data)[0] == described
        assert [application.name for application in verbose.applications] == ["digits", "texts"]
        deleted = await sentence(stub.DeleteApplication(pb.DeleteApplicationRequest(name="digits")))
        assert deleted == "Successfully deleted application with name 'digits'"
        assert await document(stub.GetAllApplications(pb.GetAllApplicationsRequest(verbose=False))) == ["texts"]

    play(redis_server, scenario)


def test_options_of_applications_and_models_are_described_as_registered(redis_server: RedisServer) -> None:
    options = {
        "priority": "high", "share": 2.5, "use_cache": False, "cache_ttl_micros": 60_000_000,
        "selection_policy": "linucb", "policy_parameters": {"alpha": 0.5}, "confidence_threshold": 0.25,
        "loss": "squared", "loss_scale": 3.0, "feedback_window_s": 60, "context_ttl_s": 600, "combine": "average",
    }  # fmt: skip
    batching = {"batching_policy": "aimd", "batch_delay_micros": 2_000, "input_names": ["age", "income"]}

    async def scenario(stub: Stub) -> None:
        await register(stub, management.application(**options), management.model(**batching))
        application = await stub.GetApplication(pb.GetApplicationRequest(name="digits"))
        assert json.loads(application.rest.data).items() >= options.items()
        assert {name: getattr(application.application, name) for name in options} == options
        model = await stub.GetModel(pb.GetModelRequest(model_name="forest", model_version="1"))
        assert json.loads(model.rest.data).items() >= batching.items()
        assert {name: getattr(model.model, name) for name in batching} == batching

    play(redis_server, scenario)


def test_a_model_version_is_registered_made_current_described_and_deleted(redis_server: RedisServer) -> None:
    async def scenario(stub: Stub) -> None:
        added = await sentence(stub.AddModel(management.model(input_type="double")))
        assert added == "Successfully added model with name 'forest' and input type 'doubles'"
        await register(stub, management.model(model_version="2"))
        first = pb.SetModelVersionRequest(model_name="forest", model_version="1")
        assert await sentence(stub.SetModelVersion(first)) == (
            "Successfully set model with name 'forest' to version '1'"
        )
        assert await document(stub.GetModel(pb.GetModelRequest(model_name="forest", model_version="1"))) == {
            "model_name": "forest", "model_version": "1", "input_type": "doubles", "labels": [],
            "container_name": "forest:1", "model_data_path": "/models/forest", "is_current_version": True,
            "batching_policy": "", "batch_delay_micros": 0, "input_names": [],
        }  # fmt: skip
        assert await document(stub.GetModel(pb.GetModelRequest(model_name="forest", model_version="9"))) == {}
        versions = await document(stub.GetAllModels(pb.GetAllModelsRequest(verbose=False)))
        assert versions == ["forest:1", "forest:2"]
        verbose = await document(stub.GetAllModels(pb.GetAllModelsRequest(verbose=True)))
        assert [version["is_current_version"] for version in verbose] == [True, False]
        gone = pb.DeleteModelVersionRequest(model_name="forest", model_version="1")
        assert await sentence(stub.DeleteModelVersion(gone)) == (
            "Successfully deleted model with name 'forest' and version '1'"
        )
        left = await document(stub.GetAllModels(pb.GetAllModelsRequest(verbose=True)))
        assert [(version["model_version"], version["is_current_version"]) for version in left] == [("2", False)]

    play(redis_server, scenario)


def test_an_application_is_linked_and_unlinked(redis_server: RedisServer) -> None:
    async def scenario(stub: Stub) -> None:
        await register(stub, APPLICATION, MODEL)
        linked = await sentence(stub.AddModelLinks(LINK))
        assert linked == "Successfully linked model with name 'forest' to application 'digits'"
        question = pb.GetLinkedModelsRequest(app_name="digits")
        assert list((await stub.GetLinkedModels(question)).model_names) == ["forest"]
        assert await sentence(stub.GetLinkedModels(question)) == '["forest"]'
        unlink = pb.DeleteModelLinksRequest(app_name="digits", model_names=["forest"])
        assert await sentence(stub.DeleteModelLinks(unlink)) == "Success!"
        assert await sentence(stub.GetLinkedModels(question)) == "[]"

    play(redis_server, scenario)


def test_the_state_of_an_application_is_its_default_output(redis_server: RedisServer) -> None:
    async def scenario(stub: Stub) -> None:
        await register(stub, APPLICATION)
        question = pb.GetStateRequest(app_name="digits", uid=7)
        assert (await stub.GetState(question)).state == APPLICATION.default_output
        assert await sentence(stub.GetState(question)) == APPLICATION.default_output

    play(redis_server, scenario)


def test_a_deleted_application_and_model_leave_no_link_behind(redis_server: RedisServer) -> None:
    async def scenario(stub: Stub) -> None:
        question = pb.GetLinkedModelsRequest(app_name="digits")
        await register(stub, APPLICATION, MODEL, LINK)
        await stub.DeleteModelVersion(pb.DeleteModelVersionRequest(model_name="forest", model_version="1"))
        await register(stub, MODEL)
        assert await sentence(stub.GetLinkedModels(question)) == "[]"
        await register(stub, LINK)
        await stub.DeleteApplication(pb.DeleteApplicationRequest(name="digits"))
        await register(stub, APPLICATION)
        assert await sentence(stub.GetLinkedModels(question)) == "[]"

    play(redis_server, scenario)


def test_of_many_writers_at_two_services_none_is_lost_and_each_makes_one_revision(
    redis_server: RedisServer,
) -> None:
    async def scenario() -> None:
        async with serving(redis_server) as one, serving(redis_server) as other:
            names = [f"app-{number}" for number in range(WRITERS)]
            await asyncio.gather(
                *(
                    (one, other)[number % 2].AddApplication(management.application(name=name))
                    for number, name in enumerate(names)
                )
            )
        store = Store.connect(redis_server.url)
        known = await store.snapshot()
        assert sorted(known.applications) == sorted(names)
        assert known.revision == WRITERS
        revisions = []
        async for revision, changes in store.follow(0):
            assert [change.record for change in changes] == [known.applications[changes[0].key]]
            assert known.applications[changes[0].key].registration == revision
            revisions.append(revision)
            if revision == WRITERS:
                break
        assert revisions == list(range(1, WRITERS + 1))
        await store.close()

    asyncio.run(scenario())


def test_of_many_writers_of_one_name_one_wins(redis_server: RedisServer) -> None:
    async def scenario(stub: Stub) -> None:
        outcomes = await asyncio.gather(
            *(stub.AddApplication(APPLICATION) for _ in range(WRITERS)), return_exceptions=True
        )
        refused = [outcome for outcome in outcomes if isinstance(outcome, grpc.aio.AioRpcError)]
        assert len(refused) == WRITERS - 1
        assert {error.code() for error in refused} == {grpc.StatusCode.ALREADY_EXISTS}

    play(redis_server, scenario)
