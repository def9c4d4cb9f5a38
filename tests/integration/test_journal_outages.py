"""What becomes of a journal's work when it ends, and while Redis is away."""

import logging
import statistics
import time
from collections.abc import Iterator

import pytest

from services.common.errors import StoreUnavailable
from services.common.lessons import FeedbackStatus
from services.common.selection_records import State
from tests.fixtures.journals import (
    DIGITS,
    ONE_RIGHT,
    PATIENCE_S,
    Answer,
    feedback,
    key_of,
    learn,
    prediction,
    read,
    register,
    running_learner,
    wait_until_recorded,
)
from tests.fixtures.learners import FeedbackResult, Learner
from tests.fixtures.redis_server import RedisServer
from tests.fixtures.waiting import wait_until

LEARNED, ALREADY_LEARNED = FeedbackStatus.LEARNED, FeedbackStatus.ALREADY_LEARNED
UNAVAILABLE = FeedbackStatus.UNAVAILABLE


@pytest.fixture(autouse=True)
def registered(redis_server: RedisServer) -> None:
    """The application is registered."""
    register(redis_server, DIGITS)


@pytest.fixture
def journal(redis_server: RedisServer) -> Iterator[Learner]:
    with running_learner(redis_server) as journal:
        yield journal


@pytest.mark.alone
def test_closing_a_journal_finishes_what_it_was_given(redis_server: RedisServer) -> None:
    answers: list[Answer[FeedbackResult]] = []
    with running_learner(redis_server) as journal:
        for query_id in range(500):
            journal.record([prediction(query_id)])
            answers.append(Answer())
            journal.learn(feedback(query_id), answers[-1])
    assert {answer.get().status for answer in answers} == {LEARNED}
    wait_until_recorded(redis_server, 500)
    journal.close()


@pytest.mark.alone
def test_closing_a_journal_records_what_it_was_given_in_the_last_moment(redis_server: RedisServer) -> None:
    with running_learner(redis_server) as journal:
        journal.record([prediction(1)])
    wait_until_recorded(redis_server, 1)


def test_closing_a_journal_without_redis_takes_a_moment_and_answers_all(redis_server: RedisServer) -> None:
    redis_server.freeze()
    with running_learner(redis_server) as journal:
        journal.record([prediction(1)])
        learned: Answer[FeedbackResult] = Answer()
        journal.learn(feedback(1), learned)
        was_read: Answer[State | None] = Answer()
        journal.read_state(key_of(), was_read)
        closing = time.monotonic()
    assert time.monotonic() - closing < PATIENCE_S
    assert learned.get().status is UNAVAILABLE
    assert was_read.get() is None
    redis_server.thaw()


@pytest.mark.alone
@pytest.mark.parametrize("how", ["killed", "frozen"])
def test_without_redis_a_state_is_given_up_within_20_ms(redis_server: RedisServer, journal: Learner, how: str) -> None:
    assert read(journal, key_of()) == {}
    (redis_server.kill if how == "killed" else redis_server.freeze)()
    took_s = []
    for _ in range(21):
        answer: Answer[State | None] = Answer()
        journal.read_state(key_of(), answer)
        assert answer.get() is None
        took_s.append(answer.took_s)
    assert statistics.median(took_s) < 0.02
    if how == "frozen":
        redis_server.thaw()


def test_without_redis_nothing_is_learned_and_once_it_is_back_all_works_unaided(
    redis_server: RedisServer, journal: Learner
) -> None:
    journal.record([prediction(1)])
    learn(journal, feedback(1))
    redis_server.kill()
    journal.record([prediction(2)])
    asked = time.monotonic()
    results = [learn(journal, feedback(query_id)) for query_id in (2, 3)]
    assert time.monotonic() - asked < PATIENCE_S
    assert [(result.status, type(result.error)) for result in results] == [(UNAVAILABLE, StoreUnavailable)] * 2
    redis_server.start()
    assert read(journal, key_of()) == ONE_RIGHT
    assert learn(journal, feedback(2)).state == ONE_RIGHT | {"count:apple": 3.0}
    wait_until_recorded(redis_server, 2)


def test_feedback_that_a_frozen_redis_did_not_confirm_is_learned_once_when_it_is_repeated(
    redis_server: RedisServer, journal: Learner
) -> None:
    journal.record([prediction(1)])
    wait_until_recorded(redis_server, 1)
    redis_server.freeze()
    assert learn(journal, feedback(1)).status is UNAVAILABLE
    redis_server.thaw()
    assert learn(journal, feedback(1)).status in (LEARNED, ALREADY_LEARNED)
    assert read(journal, key_of()) == ONE_RIGHT


def test_predictions_wait_for_redis_to_come_back_and_the_oldest_give_way(
    redis_server: RedisServer, journal: Learner, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    redis_server.kill()
    for query_id in range(25_000):
        journal.record([prediction(query_id)])
    # Those that were on their way wait beside the 20,000.
    wait_until(lambda: journal.dropped >= 4_700)
    assert caplog.messages == ["the store is away; predictions wait to be recorded"]
    redis_server.start()
    wait_until_recorded(redis_server, 20_000)
    assert journal.dropped <= 5_000
    assert learn(journal, feedback(24_999)).status is LEARNED
    assert learn(journal, feedback(10_000)).status is LEARNED
    assert caplog.messages[1:] == ["predictions are recorded again"]
