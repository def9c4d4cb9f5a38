"""What is learned and recorded in a real Redis: once each, and nothing is lost."""

import asyncio
import dataclasses
import time
from collections.abc import Iterator

import pytest

from services.common.errors import StoreUnavailable
from services.common.lessons import FeedbackStatus, Outcome
from services.common.records import Kind
from services.common.selection_records import PredictionRecord, QueryKey, Recorded, State
from services.store import Store
from tests.fixtures.journals import (
    DIGITS,
    PATIENCE_S,
    key_of,
    prediction,
    register,
    run_with_store,
)
from tests.fixtures.lessons import NOW_MS, addition, halve, revision, state_of, statuses
from tests.fixtures.redis_server import RedisServer
from tests.fixtures.vandal import UNREADABLE, Vandal

OTHER = dataclasses.replace(DIGITS, name="other", registration=8)


@pytest.fixture(autouse=True)
def registered(redis_server: RedisServer) -> None:
    """Both applications are registered."""
    register(redis_server, DIGITS, OTHER)


def test_a_context_that_nothing_was_learned_in_has_an_empty_state(redis_server: RedisServer) -> None:
    async def scenario(store: Store) -> None:
        assert await store.read_states([key_of(), key_of(context="ann")]) == [{}, {}]

    run_with_store(redis_server, scenario)


def test_what_is_added_adds_up_and_is_told_with_each_lesson(redis_server: RedisServer) -> None:
    async def scenario(store: Store) -> None:
        ann = key_of(context="ann")
        outcomes = await store.learn(
            [addition({"a": 1.0}), addition({"a": 0.5, "b": -1e-7}), addition({"a": 3.0}, key=ann)]
        )
        assert outcomes == [
            Outcome(FeedbackStatus.LEARNED, {"a": 1.5, "b": -1e-7}),
            Outcome(FeedbackStatus.LEARNED, {"a": 1.5, "b": -1e-7}),
            Outcome(FeedbackStatus.LEARNED, {"a": 3.0}),
        ]
        assert await store.read_states([ann, key_of()]) == [{"a": 3.0}, {"a": 1.5, "b": -1e-7}]

    run_with_store(redis_server, scenario)


@pytest.mark.parametrize("once", [4711, "4711", 'a "name" of:\n the client\'s own'], ids=["query", "digits", "text"])
def test_what_has_a_name_is_learned_once(redis_server: RedisServer, once: int | str) -> None:
    async def scenario(store: Store) -> None:
        lesson = addition({"a": 1.0}, once=once)
        assert statuses(await store.learn([lesson, lesson])) == [FeedbackStatus.LEARNED, FeedbackStatus.ALREADY_LEARNED]
        assert await store.learn([lesson]) == [Outcome(FeedbackStatus.ALREADY_LEARNED, {"a": 1.0})]

    run_with_store(redis_server, scenario)


def test_neighbouring_query_ids_a_name_of_digits_and_other_applications_are_not_taken_for_one_another(
    redis_server: RedisServer,
) -> None:
    async def scenario(store: Store) -> None:
        lessons = [addition({"a": 1.0}, once=once) for once in (1023, 1024, 1025, 2048, "1024", 2**53 - 1)]
        lessons.append(addition({"a": 1.0}, once=1024, key=key_of(OTHER)))
        assert statuses(await store.learn(lessons)) == [FeedbackStatus.LEARNED] * 7
        assert await store.read_states([key_of(), key_of(OTHER)]) == [{"a": 6.0}, {"a": 1.0}]

    run_with_store(redis_server, scenario)


def test_what_has_no_name_is_learned_each_time(redis_server: RedisServer) -> None:
    async def scenario(store: Store) -> None:
        await store.learn([addition({"a": 1.0})] * 3)
        assert await state_of(store) == {"a": 3.0}

    run_with_store(redis_server, scenario)


def test_a_state_gets_what_it_lacks_before_anything_is_added_and_once_only(redis_server: RedisServer) -> None:
    async def scenario(store: Store) -> None:
        await store.learn([addition({"a": 1.0}, init={"a": 10.0})])
        await store.learn([addition({"b": 1.0}, init={"a": 10.0, "b": 20.0}) for _ in range(2)])
        assert await state_of(store) == {"a": 11.0, "b": 22.0}

    run_with_store(redis_server, scenario)


def test_a_state_that_was_forgotten_meanwhile_begins_with_what_it_lacks(redis_server: RedisServer) -> None:
    async def scenario(store: Store) -> None:
        elsewhere = Store.connect(redis_server.url)
        lesson = addition({"a": 1.0}, init={"a": 10.0, "b": 20.0})
        await store.learn([lesson])
        await elsewhere.delete_context(key_of())
        await elsewhere.learn([addition({"b": 1.0})])
        assert await store.learn([lesson]) == [Outcome(FeedbackStatus.LEARNED, {"a": 11.0, "b": 1.0})]
        await elsewhere.close()

    run_with_store(redis_server, scenario)


def test_numbers_that_no_state_can_hold_fail_alone(redis_server: RedisServer) -> None:
    async def scenario(store: Store) -> None:
        outcomes = await store.learn(
            [addition({"a": float("nan")}), addition({"a": 1.0}), addition({"a": -float("inf")})]
        )
        assert statuses(outcomes) == [FeedbackStatus.FAILED, FeedbackStatus.LEARNED, FeedbackStatus.FAILED]
        assert "nan" in str(outcomes[0].error)
        assert await state_of(store) == {"a": 1.0}

    run_with_store(redis_server, scenario)


def test_lessons_of_both_kinds_and_several_contexts_are_learned_together(redis_server: RedisServer) -> None:
    async def scenario(store: Store) -> None:
        ann, bob = key_of(context="ann"), key_of(context="bob")
        lessons = [
            revision(halve, once=1, key=ann),
            addition({"a": 1.0}, once=2, init={"b": 3.0}),
            revision(halve, once=3, key=bob),
            revision(halve, once=4, key=ann),
            revision(halve, once=3, key=bob),
        ]
        outcomes = await store.learn(lessons)
        assert statuses(outcomes) == [FeedbackStatus.LEARNED] * 4 + [FeedbackStatus.ALREADY_LEARNED]
        assert await store.read_states([ann, key_of(), bob]) == [outcomes[index].state for index in (0, 1, 2)]
        assert outcomes[0].state == outcomes[3].state == {"a": 0.75, "steps": 2.0}
        assert outcomes[4].state == {"a": 0.5, "steps": 1.0}

    run_with_store(redis_server, scenario)


def test_what_was_confirmed_before_redis_went_away_is_told(redis_server: RedisServer) -> None:
    def last(state: State) -> State:
        redis_server.kill()
        return halve(state)

    async def scenario(store: Store) -> None:
        learned, lost = await store.learn([addition({"a": 1.0}), revision(last, key=key_of(context="ann"))])
        assert learned == Outcome(FeedbackStatus.LEARNED, {"a": 1.0})
        assert (lost.status, type(lost.error)) == (FeedbackStatus.UNAVAILABLE, StoreUnavailable)

    run_with_store(redis_server, scenario)


@pytest.mark.parametrize("text", ["nonsense", "nan", "", "1e308"])
def test_a_state_that_is_none_or_takes_no_more_harms_its_context_alone(redis_server: RedisServer, text: str) -> None:
    async def scenario(store: Store) -> None:
        ann = key_of(context="ann")
        redis_server.client().hset("clipper:selection:digits:7:ann", "a", text)
        bob = key_of(context="bob")
        lessons = [addition({"a": 1e308}, key=ann, once="x"), addition({"a": 1.0}), revision(halve, once="y", key=bob)]
        assert statuses(await store.learn(lessons)) == [FeedbackStatus.FAILED] + [FeedbackStatus.LEARNED] * 2
        assert await store.read_states([ann, key_of()]) == [None, {"a": 1.0}]

    run_with_store(redis_server, scenario)


def test_revisions_by_many_at_once_lose_none(redis_server: RedisServer) -> None:
    async def writer(number: int) -> None:
        store = Store.connect(redis_server.url)
        for step in range(25):
            names = [f"{number}-{step}-{part}" for part in range(4)]
            outcomes = await store.learn([revision(halve, once=name) for name in names])
            assert statuses(outcomes) == [FeedbackStatus.LEARNED] * 4
        await store.close()

    async def scenario(store: Store) -> None:
        await asyncio.gather(*(writer(number) for number in range(8)))
        state = await state_of(store)
        assert state["steps"] == 800
        assert state["a"] == 1.0 - 0.5**53 or state["a"] == 1.0

    run_with_store(redis_server, scenario)


def test_a_revision_may_drop_names_and_is_learned_once(redis_server: RedisServer) -> None:
    async def scenario(store: Store) -> None:
        await store.learn([addition({"a": 1.0, "old": 1.0})])
        dropping = revision(lambda state: {"a": state["a"] + 0.1}, once=5)
        assert statuses(await store.learn([dropping, dropping])) == [
            FeedbackStatus.LEARNED,
            FeedbackStatus.ALREADY_LEARNED,
        ]
        assert await store.learn([dropping]) == [Outcome(FeedbackStatus.ALREADY_LEARNED, {"a": 1.1})]

    run_with_store(redis_server, scenario)


def test_a_revision_that_fails_changes_nothing_and_holds_up_none(redis_server: RedisServer) -> None:
    def fail(state: State) -> State:
        raise RuntimeError("secret")

    async def scenario(store: Store) -> None:
        revisions = [revision(observe, once=once) for once, observe in ((1, fail), (2, halve))]
        failed, learned = await store.learn(revisions)
        assert (failed.status, str(failed.error)) == (FeedbackStatus.FAILED, "secret")
        assert learned == Outcome(FeedbackStatus.LEARNED, {"a": 0.5, "steps": 1.0})
        assert statuses(await store.learn(revisions)) == [FeedbackStatus.FAILED, FeedbackStatus.ALREADY_LEARNED]

    run_with_store(redis_server, scenario)


def test_a_recorded_prediction_is_joined_as_it_was(redis_server: RedisServer) -> None:
    async def scenario(store: Store) -> None:
        awkward = 'ann "Ä"\n\\u0000\u2028, {1}'
        recorded = Recorded(
            PredictionRecord(
                key_of(context=awkward),
                2**53 - 1,
                0.1,
                {awkward: awkward},
                awkward,
                True,
                (awkward, "b"),
                [0.1, -2e-300],
                (3.0, 0.5),
                ("c",),
            ),
            NOW_MS,
        )
        plain = Recorded(prediction(3), NOW_MS + 1)
        await store.record([recorded, plain])
        queries = [QueryKey("digits", 7, 2**53 - 1), QueryKey("digits", 7, 4), QueryKey("digits", 7, 3)]
        assert await store.join(queries) == [
            recorded,
            None,
            plain._replace(prediction=plain.prediction._replace(features=[])),
        ]

    run_with_store(redis_server, scenario)


def test_recording_the_same_prediction_again_changes_nothing(redis_server: RedisServer) -> None:
    async def scenario(store: Store) -> None:
        await store.record([Recorded(prediction(3, "first"), NOW_MS)])
        await store.record([Recorded(prediction(3, "second"), NOW_MS)] * 2)
        [joined] = await store.join([QueryKey("digits", 7, 3)])
        assert joined is not None
        assert joined.prediction.output == "first"
        assert len((await store.events("digits", 7)).events) == 1

    run_with_store(redis_server, scenario)


def test_an_application_whose_record_is_unreadable_keeps_no_other_from_learning(redis_server: RedisServer) -> None:
    async def scenario(store: Store) -> None:
        texts = [*UNREADABLE.values(), b"7", b'{"registration":8,"feedback_window_s":"1 h"}']
        for number, text in enumerate(texts):
            Vandal(redis_server).put(Kind.APPLICATION, OTHER.name, text)
            await store.record([Recorded(prediction(number, application=each), NOW_MS) for each in (OTHER, DIGITS)])
            queries = [QueryKey(each.name, each.registration, number) for each in (OTHER, DIGITS)]
            assert [joined is not None for joined in await store.join(queries)] == [False, True]
            lessons = [addition({"a": 1.0}, key=key_of(OTHER)), addition({"a": 1.0})]
            assert statuses(await store.learn(lessons)) == [FeedbackStatus.UNKNOWN_QUERY, FeedbackStatus.LEARNED]

    run_with_store(redis_server, scenario)


def test_a_recorded_prediction_that_is_unreadable_is_unknown_and_no_other(redis_server: RedisServer) -> None:
    async def scenario(store: Store) -> None:
        await store.record([Recorded(prediction(number), NOW_MS) for number in (1, 2)])
        queries = [QueryKey(DIGITS.name, DIGITS.registration, number) for number in (1, 2)]
        for text in ("nonsense", "[]", "[1,2,3]", "[1,2,3,4]", "7"):
            Vandal(redis_server).spoil_prediction(DIGITS, 1, text)
            assert [joined is not None for joined in await store.join(queries)] == [False, True]

    run_with_store(redis_server, scenario)


@pytest.mark.parametrize(("is_dialled", "round_s"), [(True, 0.1), (False, 0.4)], ids=["dialled", "asked"])
def test_who_has_no_processor_does_not_take_redis_for_away(
    redis_server: RedisServer, is_dialled: bool, round_s: float
) -> None:
    async def scenario(store: Store) -> None:
        if not is_dialled:
            await store.read_states([key_of()])
        asked = asyncio.create_task(store.read_states([key_of()]))
        while not asked.done():
            await asyncio.sleep(0)
            # This is how long its loop takes to come round.
            time.sleep(round_s)
        assert asked.result() == [{}]

    run_with_store(redis_server, scenario, timeout_s=0.3)


@pytest.fixture(params=["killed", "frozen"])
def away(request: pytest.FixtureRequest, redis_server: RedisServer) -> Iterator[RedisServer]:
    """A Redis that does not answer."""
    if request.param == "killed":
        redis_server.kill()
        yield redis_server
        return
    redis_server.freeze()
    yield redis_server
    redis_server.thaw()


def test_without_redis_everything_fails_soon_and_honestly(away: RedisServer) -> None:
    async def scenario(store: Store) -> None:
        asked = time.monotonic()
        for call in (
            store.read_states([key_of()]),
            store.contexts("digits", 7),
            store.record([Recorded(prediction(1), NOW_MS)]),
            store.join([QueryKey("digits", 7, 1)]),
            store.learn([addition({"a": 1.0}, init={"a": 1.0})]),
            store.learn([revision(halve, once=1)]),
            store.events("digits", 7),
            store.delete_context(key_of()),
            store.delete_application("digits", 7),
        ):
            with pytest.raises(StoreUnavailable, match="The selection state cannot be reached"):
                await call
        assert time.monotonic() - asked < PATIENCE_S

    run_with_store(away, scenario, timeout_s=0.1)
