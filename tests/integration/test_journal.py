"""What journals on one Redis record, read and learn, however many there are."""

import dataclasses
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from services.common.errors import InvalidInput
from services.common.lessons import FeedbackStatus
from services.common.selection_records import State
from services.query.engine.policies.guard import PolicyFailed
from services.query.engine.policies.policy import Observation
from tests.fixtures.journals import (
    ARMS,
    DIGITS,
    ONE_RIGHT,
    PATIENCE_S,
    Answer,
    Counting,
    Failing,
    Halving,
    Looking,
    feedback,
    key_of,
    learn,
    prediction,
    read,
    register,
    run_with_store,
    running_learner,
    wait_until_recorded,
)
from tests.fixtures.learners import FeedbackResult, Learner
from tests.fixtures.redis_server import RedisServer
from tests.fixtures.waiting import wait_until

LEARNED, ALREADY_LEARNED = FeedbackStatus.LEARNED, FeedbackStatus.ALREADY_LEARNED
UNKNOWN_QUERY, FAILED = FeedbackStatus.UNKNOWN_QUERY, FeedbackStatus.FAILED
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def registered(redis_server: RedisServer) -> None:
    """The application is registered."""
    register(redis_server, DIGITS)


@pytest.fixture
def journal(redis_server: RedisServer) -> Iterator[Learner]:
    with running_learner(redis_server, timeout_s=PATIENCE_S) as journal:
        yield journal


@pytest.fixture
def other_journal(redis_server: RedisServer) -> Iterator[Learner]:
    with running_learner(redis_server, timeout_s=PATIENCE_S) as journal:
        yield journal


def test_a_prediction_is_learned_from_at_once(journal: Learner) -> None:
    journal.record([prediction(3, context="ann")])
    key = key_of(context="ann")
    assert learn(journal, feedback(3)) == FeedbackResult(LEARNED, key, ONE_RIGHT, {"apple": 0.0}, answer_loss=0.0)
    assert read(journal, key) == ONE_RIGHT
    assert read(journal, key_of()) == {}


def test_a_prediction_of_one_journal_is_learned_from_by_another(
    redis_server: RedisServer, journal: Learner, other_journal: Learner
) -> None:
    journal.record([prediction(3, context="ann")])
    wait_until_recorded(redis_server, 1)
    assert learn(other_journal, feedback(3)).state == ONE_RIGHT
    assert read(journal, key_of(context="ann")) == ONE_RIGHT


@pytest.mark.alone
def test_feedback_may_reach_another_journal_before_the_prediction_is_recorded(
    journal: Learner, other_journal: Learner
) -> None:
    for query_id in range(5):
        journal.record([prediction(query_id)])
        assert learn(other_journal, feedback(query_id)).status is LEARNED


def test_a_prediction_is_learned_from_once_whoever_is_told(journal: Learner, other_journal: Learner) -> None:
    journal.record([prediction(3)])
    assert learn(journal, feedback(3)).status is LEARNED
    again = FeedbackResult(ALREADY_LEARNED, key_of(), ONE_RIGHT)
    assert [learn(journal, feedback(3, "2")), learn(other_journal, feedback(3))] == [again, again]


def test_feedback_with_a_name_is_learned_once_under_that(journal: Learner, other_journal: Learner) -> None:
    journal.record([prediction(3)])
    named = [feedback(3, feedback_id=name) for name in ("a", "b", "a")]
    assert [learn(journal, each).status for each in named] == [LEARNED, LEARNED, ALREADY_LEARNED]
    by_input = feedback(outputs={"apple": "1", "pear": "2"}, feedback_id="c")
    assert [learn(each, by_input).status for each in (journal, other_journal)] == [LEARNED, ALREADY_LEARNED]


@pytest.mark.parametrize("policy", [Counting({}), Halving({})], ids=["additive", "not additive"])
@pytest.mark.parametrize("named", [False, True], ids=["by query", "by name"])
def test_of_the_same_feedback_to_two_journals_at_once_one_is_learned(
    journal: Learner, other_journal: Learner, policy: Counting | Halving, named: bool
) -> None:
    count = 200
    answers: list[tuple[Answer[FeedbackResult], Answer[FeedbackResult]]] = []
    for query_id in range(count):
        journal.record([prediction(query_id)])
        what = feedback(query_id, policy=policy, feedback_id=f"name {query_id}" if named else None)
        answers.append((Answer(), Answer()))
        for each, answer in zip((journal, other_journal), answers[-1], strict=True):
            each.learn(what, answer)
    for pair in answers:
        assert {answer.get().status for answer in pair} == {LEARNED, ALREADY_LEARNED}
    state = read(journal, key_of())
    assert state.get("steps", state.get("count:apple", 0.0) - 1.0) == count


def test_feedback_by_input_tells_of_all_arms_and_counts_each_time(journal: Learner) -> None:
    what = feedback(outputs={"apple": "1", "pear": "2"}, context="ann")
    assert learn(journal, what).losses == {"apple": 0.0, "pear": 1.0}
    assert learn(journal, what).state == {"count:apple": 3.0, "count:pear": 3.0, "loss:apple": 0.0, "loss:pear": 2.0}


def test_unknown_queries_are_told_as_such(journal: Learner) -> None:
    journal.record([prediction(3)])
    stranger = dataclasses.replace(DIGITS, name="stranger")
    former = dataclasses.replace(DIGITS, registration=6)
    for what in (feedback(4), feedback(3, application=stranger), feedback(3, application=former)):
        assert learn(journal, what) == FeedbackResult(UNKNOWN_QUERY)


def test_a_prediction_that_is_older_than_the_feedback_window_is_unknown(
    redis_server: RedisServer, journal: Learner, other_journal: Learner
) -> None:
    brief = dataclasses.replace(DIGITS, feedback_window_s=3)
    register(redis_server, brief)
    made = time.monotonic()
    journal.record([prediction(3)])
    journal.record([prediction(4)])
    assert learn(journal, feedback(3, application=brief)).status is LEARNED
    wait_until(lambda: time.monotonic() > made + 3.1)
    for each in (journal, other_journal):
        assert learn(each, feedback(4, application=brief)) == FeedbackResult(UNKNOWN_QUERY)


def test_feedback_for_a_deleted_application_is_unknown_and_changes_nothing(
    redis_server: RedisServer, journal: Learner
) -> None:
    journal.record([prediction(3)])
    run_with_store(redis_server, lambda store: store.delete_application("digits", 7))
    register(redis_server, dataclasses.replace(DIGITS, registration=8))
    assert learn(journal, feedback(3)) == FeedbackResult(UNKNOWN_QUERY)
    assert read(journal, key_of()) == {}


def test_an_event_tells_all_that_a_replay_needs(redis_server: RedisServer, journal: Learner) -> None:
    journal.record([prediction(3, "2", context="ann")._replace(features=[0.5])])
    learn(journal, feedback(3, feedback_id="f"))
    learn(journal, feedback(outputs={"apple": "1", "pear": "2"}, features=(1.5,), policy=Looking({})))
    wait_until_recorded(redis_server, 1)
    events = [
        json.loads(event) for event in run_with_store(redis_server, lambda store: store.events("digits", 7)).events
    ]
    by_query, by_input = (event for event in events if event["event"] == "feedback")
    assert 0 <= by_query.pop("at_ms") - by_query.pop("predicted_at_ms") < 60_000
    assert by_query == {
        "event": "feedback",
        "query_id": 3,
        "context": "ann",
        "chosen": ["apple"],
        "probability": 0.5,
        "outputs": {"apple": "2"},
        "output": "2",
        "default": False,
        "features": [0.5],
        "arms": ["apple", "pear"],
        "feedback_id": "f",
        "label": "1",
        "reward": None,
        "losses": {"apple": 1.0},
    }
    assert by_input.pop("at_ms") > 0
    assert by_input == {
        "event": "feedback",
        "query_id": None,
        "predicted_at_ms": None,
        "context": "",
        "chosen": ["apple", "pear"],
        "probability": 1.0,
        "outputs": {"apple": "1", "pear": "2"},
        "output": None,
        "default": False,
        "features": [1.5],
        "arms": ["apple", "pear"],
        "feedback_id": None,
        "label": "1",
        "reward": None,
        "losses": {"apple": 0.0, "pear": 1.0},
    }


def test_what_makes_no_sense_or_fails_is_told_and_holds_up_none(
    journal: Learner, caplog: pytest.LogCaptureFixture
) -> None:
    numeric = dataclasses.replace(DIGITS, loss="squared")
    cases = [
        (feedback(0, "seven", application=numeric), InvalidInput),
        (feedback(1, policy=Failing({})), PolicyFailed),
        (feedback(2, None, reward=1.5), InvalidInput),
        (feedback(None, None, reward=0.5, outputs={"apple": "1"}), InvalidInput),
        (feedback(3, policy=_Infinite({})), ValueError),
    ]
    answers: list[Answer[FeedbackResult]] = [Answer() for _ in cases]
    last: Answer[FeedbackResult] = Answer()
    for query_id in range(5):
        journal.record([prediction(query_id)])
    for (what, _), answer in zip(cases, answers, strict=True):
        journal.learn(what, answer)
    journal.learn(feedback(4), last)
    for (_, kind), answer in zip(cases, answers, strict=True):
        result = answer.get()
        assert (result.status, type(result.error)) == (FAILED, kind)
    assert last.get().state == ONE_RIGHT
    assert set(caplog.messages) == {"the selection policy failed"}


class _Infinite(Counting):
    """Learns what cannot be kept."""

    def increments(self, arms: object, observation: Observation) -> State:
        return {"count:apple": float("inf")}


def test_many_journals_learn_in_one_context_as_if_one_had_learned_all(redis_server: RedisServer) -> None:
    count, journals = 5_000, 8
    chance = random.Random(1)
    labels = [chance.choice(("0", "0.25", "1")) for _ in range(count)]
    regression = dataclasses.replace(DIGITS, loss="absolute")
    with ExitStack() as stack:
        running = [stack.enter_context(running_learner(redis_server, timeout_s=PATIENCE_S)) for _ in range(journals)]
        for query_id in range(count):
            chance.choice(running).record([prediction(query_id, "0", arm=ARMS[query_id % 2])])
        wait_until_recorded(redis_server, count)
        answers: list[Answer[FeedbackResult]] = []
        for query_id, label in enumerate(labels):
            for each in chance.sample(running, 2):
                answers.append(Answer())
                each.learn(feedback(query_id, label, application=regression), answers[-1])
        statuses = [answer.get().status for answer in answers]
        state = read(running[0], key_of())
    assert statuses.count(LEARNED) == statuses.count(ALREADY_LEARNED) == count
    losses = [float(label) for label in labels]
    assert state == pytest.approx(
        {
            "count:apple": 1.0 + count / 2,
            "count:pear": 1.0 + count / 2,
            "loss:apple": sum(losses[0::2]),
            "loss:pear": sum(losses[1::2]),
        },
        rel=1e-12,
    )


def test_many_journals_learn_what_does_not_add_up_without_losing_any(redis_server: RedisServer) -> None:
    count, journals = 1_000, 8
    with ExitStack() as stack:
        running = [stack.enter_context(running_learner(redis_server, timeout_s=PATIENCE_S)) for _ in range(journals)]
        answers: list[Answer[FeedbackResult]] = []
        for number in range(count):
            answers.append(Answer())
            what = feedback(outputs={"apple": "1"}, policy=Halving({}), feedback_id=str(number))
            running[number % journals].learn(what, answers[-1])
        assert {answer.get().status for answer in answers} == {LEARNED}
        assert read(running[0], key_of()) == {"apple": 1.0, "steps": float(count)}


def test_a_killed_journal_loses_nothing_that_it_acknowledged(redis_server: RedisServer, journal: Learner) -> None:
    command = [sys.executable, "-m", "tests.fixtures.journal_process", redis_server.url, "100000"]
    environment = {"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'protos' / 'gen'}"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=REPOSITORY, env=environment, text=True) as process:
        assert process.stdout is not None
        acknowledged = [int(process.stdout.readline()) for _ in range(1_000)]
        process.kill()
        acknowledged += [int(line) for line in process.stdout if line.endswith("\n")]
    state = read(journal, key_of())
    assert len(acknowledged) <= state["count:apple"] - 1.0 <= len(acknowledged) + 200
    for query_id in acknowledged:
        journal.record([prediction(query_id)])
    answers: list[Answer[FeedbackResult]] = [Answer() for _ in acknowledged]
    for query_id, answer in zip(acknowledged, answers, strict=True):
        journal.learn(feedback(query_id), answer)
    assert {answer.get().status for answer in answers} == {ALREADY_LEARNED}
    assert read(journal, key_of()) == state
