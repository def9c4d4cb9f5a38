"""The admin RPCs on what selection policies have learned and logged, over a real channel and a real Redis."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
from clipper.v1 import management_service_pb2 as pb

from services.common.lessons import FeedbackStatus, Lesson
from services.common.selection_records import ContextKey, PredictionRecord, Recorded
from services.store import Store
from tests.fixtures import management
from tests.fixtures.management import Failure, Stub, failure, register, serving
from tests.fixtures.redis_server import RedisServer

CLEVER = management.application(name="clever", selection_policy="exp3", policy_parameters={"eta": 0.5})
FOREST = management.model()
SVM = management.model(model_name="svm")
LINKS = pb.AddModelLinksRequest(app_name="clever", model_names=["svm", "forest"])


class World:
    """A management service with the application "clever", and what query services write beside it."""

    def __init__(self, stub: Stub, store: Store, selection: Store) -> None:
        self.stub = stub
        self._store = store
        self._selection = selection

    async def registration(self) -> int:
        """That of the application."""
        return (await self._store.snapshot()).applications["clever"].registration

    async def predict(self, context: str, query_id: int, arm: str = "svm") -> None:
        """Records a prediction."""
        key = ContextKey("clever", await self.registration(), context)
        prediction = PredictionRecord(key, query_id, 0.5, {arm: "1"}, "1", False, (arm,))
        await self._selection.record([Recorded(prediction, int(time.time() * 1_000))])

    async def learn(self, context: str, registration: int | None = None, **increments: float) -> FeedbackStatus:
        """Learns from feedback."""
        key = ContextKey("clever", registration or await self.registration(), context)
        event = {"event": "feedback", "context": context, "losses": {"svm": 1.0}}
        [outcome] = await self._selection.learn([Lesson(key, None, event, lambda: increments)])
        return outcome.status

    async def state(self, context: str) -> dict[str, float]:
        """What an admin client sees of a context."""
        request = pb.GetSelectionStateRequest(app_name="clever", context=context)
        return dict((await self.stub.GetSelectionState(request)).state)

    async def events(self, **page: Any) -> tuple[list[Any], str]:
        """A page of events as an admin client sees it, and where the next begins."""
        answer = await self.stub.GetSelectionEvents(pb.GetSelectionEventsRequest(app_name="clever", **page))
        assert json.loads(answer.rest.data) == {"events": [*map(json.loads, answer.events)], "next": answer.next}
        return [json.loads(event) for event in answer.events], answer.next


@asynccontextmanager
async def world(redis: RedisServer) -> AsyncIterator[World]:
    store, selection = Store.connect(redis.url), Store.connect(redis.url)
    async with serving(redis) as stub:
        await register(stub, CLEVER, FOREST, SVM, LINKS)
        yield World(stub, store, selection)
    await store.close()
    await selection.close()


def play(redis: RedisServer, scenario: Callable[[World], Awaitable[None]]) -> None:
    """Runs `scenario` in a world on `redis`."""

    async def main() -> None:
        async with world(redis) as here:
            await scenario(here)

    asyncio.run(main())


def test_an_application_is_linked_to_several_models(redis_server: RedisServer) -> None:
    async def scenario(here: World) -> None:
        question = pb.GetLinkedModelsRequest(app_name="clever")
        assert (await here.stub.GetLinkedModels(question)).rest.data == b'["forest","svm"]'
        described = (await here.stub.GetApplication(pb.GetApplicationRequest(name="clever"))).application
        assert list(described.linked_models) == ["forest", "svm"]
        assert (described.selection_policy, dict(described.policy_parameters)) == ("exp3", {"eta": 0.5})
        gone = pb.DeleteModelVersionRequest(model_name="svm", model_version="1")
        await here.stub.DeleteModelVersion(gone)
        assert (await here.stub.GetLinkedModels(question)).rest.data == b'["forest"]'

    play(redis_server, scenario)


def test_what_was_learned_in_a_context_is_told_with_policy_and_arms(redis_server: RedisServer) -> None:
    async def scenario(here: World) -> None:
        await here.learn("ann", svm=-0.25, forest=2.0)
        answer = await here.stub.GetSelectionState(pb.GetSelectionStateRequest(app_name="clever", context="ann"))
        assert (answer.selection_policy, list(answer.arms)) == ("exp3", ["forest", "svm"])
        assert dict(answer.state) == {"forest": 2.0, "svm": -0.25}
        assert answer.rest.data == (
            b'{"selection_policy":"exp3","arms":["forest","svm"],"state":{"forest":2.0,"svm":-0.25}}'
        )

    play(redis_server, scenario)


def test_contexts_have_states_of_their_own_and_an_unknown_one_an_empty_state(redis_server: RedisServer) -> None:
    async def scenario(here: World) -> None:
        await here.learn("", svm=1.0)
        await here.learn("a:b *\n{é}", svm=2.0)
        assert await here.state("") == {"svm": 1.0}
        assert await here.state("a:b *\n{é}") == {"svm": 2.0}
        assert await here.state("bob") == {}

    play(redis_server, scenario)


def test_get_state_tells_the_state_of_the_context_of_that_number(redis_server: RedisServer) -> None:
    async def scenario(here: World) -> None:
        await here.learn("7", svm=1.0, forest=0.5)
        answer = await here.stub.GetState(pb.GetStateRequest(app_name="clever", uid=7))
        assert answer.state == '{"forest":0.5,"svm":1.0}'
        assert answer.rest.data == answer.state.encode()
        assert (await here.stub.GetState(pb.GetStateRequest(app_name="clever", uid=0))).state == "{}"

    play(redis_server, scenario)


def test_a_forgotten_context_has_no_state_and_no_event_and_others_keep_theirs(redis_server: RedisServer) -> None:
    async def scenario(here: World) -> None:
        for number, context in enumerate(("ann", "bob")):
            await here.predict(context, number)
            await here.learn(context, svm=1.0)
        forget = pb.DeleteSelectionStateRequest(app_name="clever", context="ann")
        for _ in range(2):
            answer = await here.stub.DeleteSelectionState(forget)
            assert answer.rest.data == b"Successfully deleted selection state of context 'ann' of application 'clever'"
        assert await here.state("ann") == {}
        assert await here.state("bob") == {"svm": 1.0}
        events, _ = await here.events()
        assert [event["context"] for event in events] == ["bob", "bob"]
        assert all("ann" not in key for key in keys(redis_server))

    play(redis_server, scenario)


def test_events_come_a_page_at_a_time_with_nothing_left_out(redis_server: RedisServer) -> None:
    async def scenario(here: World) -> None:
        assert (await here.events())[0] == []
        for number in range(5):
            await here.predict("ann", number)
            await here.learn("ann", svm=1.0)
        everything, end = await here.events()
        assert [event["event"] for event in everything] == ["prediction", "feedback"] * 5
        assert [event["query_id"] for event in everything[::2]] == list(range(5))
        pages: list[list[Any]] = []
        after = ""
        while len(pages) < 4:
            events, after = await here.events(after=after, count=3)
            pages.append(events)
        assert [len(page) for page in pages] == [3, 3, 3, 1]
        assert [event for page in pages for event in page] == everything
        assert await here.events(after=after) == ([], end)
        await here.predict("ann", 5)
        assert [event["query_id"] for event in (await here.events(after=end))[0]] == [5]

    play(redis_server, scenario)


def test_a_deleted_application_leaves_nothing_and_comes_back_as_a_new_one(redis_server: RedisServer) -> None:
    async def scenario(here: World) -> None:
        await here.predict("ann", 1)
        await here.learn("ann", svm=1.0)
        registration = await here.registration()
        await here.stub.DeleteApplication(pb.DeleteApplicationRequest(name="clever"))
        assert [key for key in keys(redis_server) if ":clever:" in key] == []
        await register(here.stub, CLEVER)
        # A query service that has not heard of it yet.
        assert await here.learn("ann", registration, svm=1.0) is FeedbackStatus.UNKNOWN_QUERY
        assert await here.state("ann") == {}
        assert (await here.events())[0] == []

    play(redis_server, scenario)


def test_without_redis_selection_is_unavailable(redis_server: RedisServer) -> None:
    async def scenario(here: World) -> None:
        redis_server.kill()
        away = Failure(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE", "The configuration store cannot be reached")
        for call in (
            here.stub.GetSelectionState(pb.GetSelectionStateRequest(app_name="clever", context="")),
            here.stub.DeleteSelectionState(pb.DeleteSelectionStateRequest(app_name="clever", context="")),
            here.stub.GetSelectionEvents(pb.GetSelectionEventsRequest(app_name="clever")),
        ):
            assert await failure(call) == away

    play(redis_server, scenario)


def keys(redis: RedisServer) -> list[str]:
    """Everything that lies in Redis."""
    with redis.client() as client:
        return list(map(str, client.scan_iter()))
