"""What Redis remembers for the selection layer: for how long, for whom, and what is forgotten when it is to be."""

import asyncio
import dataclasses
import json
from collections import Counter

import pytest

from services.common.errors import InvalidInput
from services.common.lessons import FeedbackStatus
from services.common.records import Application, Change
from services.common.selection_records import QueryKey, Recorded
from services.store import Store
from tests.fixtures.journals import (
    DIGITS,
    change,
    everything,
    key_of,
    prediction,
    register,
    run_with_store,
)
from tests.fixtures.lessons import NOW_MS, addition, halve, revision, state_of, statuses
from tests.fixtures.redis_server import RedisServer
from tests.fixtures.waiting import eventually

OTHER = dataclasses.replace(DIGITS, name="other", registration=8)


@pytest.fixture(autouse=True)
def registered(redis_server: RedisServer) -> None:
    """Both applications are registered."""
    register(redis_server, DIGITS, OTHER)


def test_everything_lives_as_long_as_the_application_says(redis_server: RedisServer) -> None:
    application = dataclasses.replace(DIGITS, feedback_window_s=100, context_ttl_s=5_000)
    register(redis_server, application)

    async def scenario(store: Store) -> None:
        await store.record([Recorded(prediction(3), NOW_MS)])
        await store.learn([addition({"a": 1.0}, once=3), addition({"a": 1.0}, once="x")])

    run_with_store(redis_server, scenario)
    with redis_server.client() as client:
        lives_s = {key.removeprefix("clipper:"): client.pttl(key) / 1_000 for key in client.keys("clipper:*:7*")}
    expected_s = {
        "selection:digits:7:": 5_000,
        "selection_contexts:digits:7": 5_000,
        "recordings:digits:7:0": 160,
        "learned:digits:7:queries:0": 160,
        "learned:digits:7:feedback:x": 160,
        "selection_predictions:digits:7": 5_000,
        "selection_feedback:digits:7": 5_000,
    }
    # They have lived for a moment.
    assert lives_s == pytest.approx(expected_s, abs=30)


def test_a_context_that_is_left_alone_is_forgotten_and_learning_keeps_it(redis_server: RedisServer) -> None:
    register(redis_server, dataclasses.replace(DIGITS, context_ttl_s=3))

    async def scenario(store: Store) -> None:
        left, kept = key_of(context="left"), key_of(context="kept")
        await store.learn([addition({"a": 1.0}, key=left), addition({"a": 0.0}, key=kept)])
        assert set(await store.contexts("digits", 7)) == {"left", "kept"}

        async def is_forgotten() -> bool:
            await store.learn([addition({"a": 1.0}, key=kept)])
            return not await state_of(store, left) and await store.contexts("digits", 7) == ["kept"]

        await eventually(is_forgotten)
        assert (await state_of(store, kept))["a"] > 1.0

    run_with_store(redis_server, scenario)


def test_feedback_stands_behind_its_prediction_though_predictions_are_ahead_of_the_clock(
    redis_server: RedisServer,
) -> None:
    async def scenario(store: Store) -> None:
        with redis_server.client() as client:
            # As after thousands of recordings in one moment, each of which has a millisecond of its own.
            ahead = client.xadd("clipper:selection_predictions:digits:7", {"prediction": ""}, f"{NOW_MS * 2}-1")
            client.xdel("clipper:selection_predictions:digits:7", str(ahead))
        for query_id in (3, 4):
            await store.record([Recorded(prediction(query_id), NOW_MS)])
            await store.learn([addition({"a": 1.0}, once=query_id), addition({"a": 1.0}, once=str(query_id))])
        kinds, after = [], ""
        while page := (await store.events("digits", 7, after, count=2)):
            kinds += [json.loads(event)["event"] for event in page.events]
            after = page.next_after
            if not page.events:
                break
        assert kinds == ["prediction", "feedback", "feedback"] * 2

    run_with_store(redis_server, scenario)


def test_contexts_are_listed_by_their_last_change_a_page_at_a_time(redis_server: RedisServer) -> None:
    async def scenario(store: Store) -> None:
        for context in ("ann", "bob", "", "ann"):
            await store.learn([addition({"a": 1.0}, key=key_of(context=context))])
            await asyncio.sleep(0.002)
        await store.learn([addition({}, key=key_of(context="nothing learned"))])
        assert await store.contexts("digits", 7) == ["ann", "", "bob"]
        assert await store.contexts("digits", 7, start=1, count=1) == [""]
        assert await store.contexts("other", 8) == []

    run_with_store(redis_server, scenario)


@pytest.mark.parametrize("registration", [6, 8])
def test_an_application_that_is_not_registered_as_such_is_refused(redis_server: RedisServer, registration: int) -> None:
    stranger = dataclasses.replace(DIGITS, registration=registration)

    async def scenario(store: Store) -> None:
        key = key_of(stranger)
        await store.record([Recorded(prediction(1, application=stranger), NOW_MS), Recorded(prediction(2), NOW_MS)])
        outcomes = await store.learn([addition({"a": 1.0}, key=key), addition({"a": 1.0})])
        assert statuses(outcomes) == [FeedbackStatus.UNKNOWN_QUERY, FeedbackStatus.LEARNED]
        assert statuses(await store.learn([revision(halve, once=1, key=key)])) == [FeedbackStatus.UNKNOWN_QUERY]
        assert await store.join([QueryKey("digits", registration, 1)]) == [None]
        assert len((await store.events("digits", 7)).events) == 2

    run_with_store(redis_server, scenario)
    with redis_server.client() as client:
        assert client.keys(f"clipper:*:digits:{registration}*") == []


async def fill(store: Store, application: Application, context: str, first_query_id: int) -> None:
    """Leaves traces of a context everywhere."""
    key = key_of(application, context)
    ids = range(first_query_id, first_query_id + 3_000, 1_000)
    await store.record(
        [Recorded(prediction(number, application=application, context=context), NOW_MS) for number in ids]
    )
    await store.learn(
        [addition({"a": 1.0}, once=first_query_id, key=key), addition({"a": 1.0}, once="f-" + context, key=key)]
    )


def test_a_forgotten_context_leaves_nothing_behind_and_others_stay(redis_server: RedisServer) -> None:
    async def scenario(store: Store) -> tuple[bool, bool]:
        await fill(store, DIGITS, "ann", 0)
        await fill(store, DIGITS, "", 10)
        await fill(store, OTHER, "ann", 20)
        assert await store.delete_context(key_of(context="ann"))
        with redis_server.client() as client:
            traces = [line for line in everything(client).splitlines() if "ann" in line and ":other:8" not in line]
        # The name that a client gave its feedback, and that it was learned.
        assert traces == ["clipper:learned:digits:7:feedback:f-ann 1"]
        assert await store.read_states([key_of(context="ann"), key_of(), key_of(OTHER, "ann")]) == [
            {},
            {"a": 2.0},
            {"a": 2.0},
        ]
        assert await store.join([QueryKey("digits", 7, number) for number in (0, 1_000, 2_000)]) == [None] * 3
        assert [bool(found) for found in await store.join([QueryKey("digits", 7, 10), QueryKey("other", 8, 20)])] == [
            True
        ] * 2
        assert all(json.loads(text)["context"] == "" for text in (await store.events("digits", 7)).events)
        assert await store.contexts("digits", 7) == [""]
        return await store.delete_context(key_of(context="ann")), await store.delete_context(key_of(context=""))

    assert run_with_store(redis_server, scenario) == (False, True)


def test_a_context_of_any_letters_is_forgotten(redis_server: RedisServer) -> None:
    awkward = 'Ännchen "A",\n\\u0041 \u2028:*[x]'

    async def scenario(store: Store) -> None:
        await fill(store, DIGITS, awkward, 0)
        assert await store.contexts("digits", 7) == [awkward]
        assert await store.delete_context(key_of(context=awkward))
        assert await store.join([QueryKey("digits", 7, 0)]) == [None]
        assert (await store.events("digits", 7)).events == []
        assert await state_of(store, key_of(context=awkward)) == {}

    run_with_store(redis_server, scenario)


def test_a_deleted_application_leaves_no_key_behind_and_nothing_comes_back(redis_server: RedisServer) -> None:
    async def scenario(store: Store) -> None:
        for number, context in enumerate(("", "ann", "other:8:", "x:digits:7:y", "*")):
            await fill(store, DIGITS, context, 10_000 * number)
        neighbours = ("x:digits:7:y", "ann")
        for number, context in enumerate(neighbours):
            await fill(store, OTHER, context, 10_000 * number)
        await change(redis_server, Change.delete(DIGITS))
        await store.delete_application("digits", 7)
        with redis_server.client() as client:
            kept = everything(client)
            assert "digits" not in kept.replace("x:digits:7:y", "")
            await fill(store, DIGITS, "late", 0)
            assert everything(client) == kept
        assert await store.read_states([key_of(OTHER, context) for context in neighbours]) == [{"a": 2.0}] * 2

    run_with_store(redis_server, scenario)


def test_an_application_that_is_registered_again_starts_afresh(redis_server: RedisServer) -> None:
    again = dataclasses.replace(DIGITS, registration=9)

    async def scenario(store: Store) -> None:
        await store.learn([addition({"a": 1.0}, once=1)])
        await change(redis_server, Change.put(again))
        assert await state_of(store, key_of(again)) == {}
        assert statuses(await store.learn([addition({"a": 1.0}, once=1, key=key_of(again))])) == [
            FeedbackStatus.LEARNED
        ]
        assert statuses(await store.learn([addition({"a": 1.0}, once=2)])) == [FeedbackStatus.UNKNOWN_QUERY]

    run_with_store(redis_server, scenario)


def test_events_are_read_in_order_page_by_page(redis_server: RedisServer) -> None:
    async def scenario(store: Store) -> None:
        for number in range(10):
            await store.record([Recorded(prediction(number), NOW_MS + number)])
            await store.learn([addition({"a": 1.0}, once=number)])
            await asyncio.sleep(0.002)
        page = await store.events("digits", 7, count=7)
        texts = page.events
        while page.events:
            assert len(page.events) <= 7
            page = await store.events("digits", 7, page.next_after, count=7)
            texts += page.events
        assert [json.loads(text)["event"] for text in texts] == ["prediction", "feedback"] * 10
        assert [json.loads(text)["query_id"] for text in texts[::2]] == list(range(10))
        assert await store.events("digits", 7, page.next_after) == page
        await store.record([Recorded(prediction(99), NOW_MS)])
        [newest] = (await store.events("digits", 7, page.next_after)).events
        assert json.loads(newest) == {
            "event": "prediction",
            "at_ms": NOW_MS,
            "query_id": 99,
            "context": "",
            "chosen": ["apple"],
            "probability": 0.5,
            "outputs": {"apple": "1"},
            "output": "1",
            "default": False,
            "features": [],
        }

    run_with_store(redis_server, scenario)


@pytest.mark.parametrize("after", ["x", "1-1", "1-1,", "1-1,2-2,3-3", "-,+", "$,$"])
def test_what_is_no_cursor_is_refused(redis_server: RedisServer, after: str) -> None:
    async def scenario(store: Store) -> None:
        with pytest.raises(InvalidInput, match="cursor"):
            await store.events("digits", 7, after)

    run_with_store(redis_server, scenario)


def test_the_newest_predictions_await_feedback_and_the_oldest_make_way_which_is_counted(
    redis_server: RedisServer,
) -> None:
    async def scenario(store: Store) -> None:
        await store.record([Recorded(prediction(1, application=OTHER), NOW_MS)])
        missed: Counter[str] = Counter()
        for first in range(0, 2_000, 200):
            missed += await store.record([Recorded(prediction(first + number), NOW_MS) for number in range(200)])
        assert missed == {DIGITS.name: 1_700}
        joined = await store.join([QueryKey("digits", 7, number) for number in range(2_000)])
        assert [number for number, found in enumerate(joined) if found is not None] == list(range(1_700, 2_000))
        assert None not in await store.join([QueryKey("other", 8, 1)])
        # What tells where they are has gone with them.
        with redis_server.client() as client:
            assert len(client.keys("clipper:recordings:digits:*")) <= 300 // 128 + 2

    run_with_store(redis_server, scenario, predictions_kept=300)


def test_predictions_whose_feedback_can_no_longer_come_are_not_missed(redis_server: RedisServer) -> None:
    register(redis_server, dataclasses.replace(DIGITS, feedback_window_s=1))

    async def scenario(store: Store) -> None:
        await store.record([Recorded(prediction(number), NOW_MS) for number in range(100)])
        await asyncio.sleep(1.1)
        assert await store.record([Recorded(prediction(100 + number), NOW_MS) for number in range(100)]) == {}

    run_with_store(redis_server, scenario, predictions_kept=100)


def test_an_ordinary_prediction_takes_few_bytes(redis_server: RedisServer) -> None:
    async def scenario(store: Store) -> None:
        with redis_server.client() as client:
            client.config_set("auto-aof-rewrite-percentage", 0)
            sizes = []
            for first in (0, 5_120):
                for start in range(first, first + 5_120, 256):
                    await store.record([Recorded(prediction(start + number), NOW_MS) for number in range(256)])
                told = {**client.info("memory"), **client.info("persistence")}
                sizes.append((told["used_memory_dataset"], told["aof_current_size"]))
        memory, file = ((after - before) / 5_120 for before, after in zip(*sizes, strict=True))
        assert memory < 90
        assert file < 200

    run_with_store(redis_server, scenario)


def test_the_event_log_is_bounded_and_predictions_do_not_crowd_out_feedback(redis_server: RedisServer) -> None:
    async def scenario(store: Store) -> None:
        await store.learn([addition({"a": 1.0}, once=number) for number in range(50)])
        for first in range(0, 2_000, 200):
            await store.record([Recorded(prediction(first + number), NOW_MS) for number in range(200)])
        events = [json.loads(text) for text in (await store.events("digits", 7, count=10_000)).events]
        predictions = [event["query_id"] for event in events if event["event"] == "prediction"]
        assert len(predictions) == 300
        assert predictions == list(range(2_000 - len(predictions), 2_000))
        assert len(events) - len(predictions) == 50

    run_with_store(redis_server, scenario, predictions_kept=300)
