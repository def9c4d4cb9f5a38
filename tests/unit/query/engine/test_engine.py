"""The engine's promises, clause by clause, in virtual time."""

import pytest

from services.common.names import InputType
from services.common.records import Application, Change, CurrentVersion, ModelVersion
from services.query.engine.requests import DefaultReason
from services.query.engine.versions import ReplicaState
from tests.fixtures.worlds import World, outputs, reasons, sizes


def test_a_query_is_sent_at_once_to_an_idle_replica_and_answered_with_its_output() -> None:
    world = World()
    request = world.ask(b"x")
    assert sizes(world.batches) == [1]
    world.answer_all()
    assert outputs(request) == ["answer to x"]
    assert world.finished == [request]


def test_queries_of_one_request_are_answered_together_in_order() -> None:
    world = World(batch_size=2)
    request = world.ask(b"a", b"b", b"c")
    world.answer(world.batches[0])
    assert world.finished == []
    world.answer_all()
    assert outputs(request) == ["answer to a", "answer to b", "answer to c"]
    assert world.finished == [request]


def test_queries_wait_while_the_replica_is_busy_and_leave_as_one_batch() -> None:
    world = World(batch_size=8)
    world.ask(b"first")
    for name in (b"a", b"b", b"c"):
        world.ask(name)
    assert sizes(world.batches) == [1]
    world.answer(world.batches[0])
    assert sizes(world.batches) == [3]


def test_a_full_batch_is_sent_behind_the_one_that_computes_and_no_third() -> None:
    world = World(batch_size=2)
    world.ask(b"first")
    world.ask(b"a")
    assert sizes(world.batches) == [1]
    world.ask(b"b")
    assert sizes(world.batches) == [1, 2]
    world.ask(b"c", b"d")
    assert sizes(world.batches) == [1, 2]


def test_no_batch_exceeds_the_hard_cap() -> None:
    world = World(batch_size=3)
    world.ask(*(b"%d" % number for number in range(20)))
    seen = []
    while world.batches:
        seen.append(len(world.batches[0].tasks))
        world.answer(world.batches[0])
    assert max(seen) == 3
    assert sum(seen) == 20


def test_the_earliest_deadline_goes_first() -> None:
    world = World(batch_size=1)
    world.ask(b"running")
    world.ask(b"running too")
    late = world.ask(b"late", deadline_s=0.09)
    early = world.ask(b"early", deadline_s=0.05)
    world.answer_all()
    assert world.finished.index(early) < world.finished.index(late)


def test_idle_replicas_share_the_work() -> None:
    world = World(replicas=3, batch_size=1)
    for name in (b"a", b"b", b"c"):
        world.ask(name)
    assert len({batch.replica.record.replica_id for batch in world.batches}) == 3


def test_a_query_in_the_queue_gets_the_default_at_its_deadline() -> None:
    world = World(batch_size=1)
    for name in (b"a", b"b"):
        world.ask(name)
    waiting = world.ask(b"c")
    assert world.engine.wake_at_s == pytest.approx(0.1)
    world.pass_time(0.1)
    assert outputs(waiting) == ["default"]
    assert reasons(waiting) == [DefaultReason.DEADLINE_IN_QUEUE]


def test_a_query_in_the_model_gets_the_default_at_its_deadline_and_its_late_output_is_dropped() -> None:
    world = World()
    request = world.ask(b"x")
    world.pass_time(0.1)
    assert reasons(request) == [DefaultReason.DEADLINE_IN_MODEL]
    world.answer_all()
    assert outputs(request) == ["default"]
    assert world.finished == [request]


def test_an_expired_query_is_never_sent() -> None:
    world = World(batch_size=1)
    world.ask(b"a", deadline_s=10)
    world.ask(b"b", deadline_s=10)
    world.ask(b"expired", deadline_s=0.01)
    world.pass_time(0.02)
    world.answer(world.batches[0])
    assert all(task.input != b"expired" for batch in world.batches for task in batch.tasks)


def test_a_request_that_is_late_on_arrival_gets_the_default_at_once() -> None:
    world = World()
    request = world.ask(b"x", deadline_s=-1.0)
    assert reasons(request) == [DefaultReason.DEADLINE_IN_QUEUE]
    assert world.batches == []


def test_answers_of_a_batch_that_are_in_time_are_kept_when_others_are_late() -> None:
    world = World(batch_size=1)
    request = world.ask(b"a", b"b", b"c")
    world.answer(world.batches[0])
    world.pass_time(0.1)
    assert outputs(request)[0] == "answer to a"
    assert reasons(request)[1:] == [DefaultReason.DEADLINE_IN_MODEL, DefaultReason.DEADLINE_IN_MODEL]


def test_without_replicas_the_default_comes_at_once() -> None:
    world = World(replicas=0)
    request = world.ask(b"x")
    assert reasons(request) == [DefaultReason.NO_REPLICA]
    assert world.finished == [request]


def test_an_application_without_a_model_answers_the_default_at_once() -> None:
    world = World()
    world.change(Change.put(Application("app", InputType.DOUBLES, "default", 1_000)))
    assert reasons(world.ask(b"x")) == [DefaultReason.NO_REPLICA]


def test_queries_wait_for_a_replica_that_is_being_connected() -> None:
    world = World(replicas=0)
    replica = world.add_replica("1", 0, ready=False)
    request = world.ask(b"x")
    assert world.finished == []
    world.engine.replica_ready(replica, world.now_s)
    world.pass_time(0)
    world.answer_all()
    assert outputs(request) == ["answer to x"]


def test_queries_do_not_wait_for_a_replica_that_could_not_be_connected() -> None:
    world = World(replicas=0)
    replica = world.add_replica("1", 0, ready=False)
    request = world.ask(b"x")
    world.lose(replica)
    assert reasons(request) == [DefaultReason.NO_REPLICA]


def test_a_full_queue_refuses_with_the_reason() -> None:
    world = World(batch_size=1, queue_capacity=2)
    world.ask(b"running")
    world.ask(b"behind")
    world.ask(b"queued", b"queued")
    assert reasons(world.ask(b"x")) == [DefaultReason.QUEUE_FULL]


def test_a_model_error_fails_its_input_only_and_carries_the_message() -> None:
    world = World(batch_size=8)
    request = world.ask(b"good", b"bad", b"good too")
    world.answer(world.batches[0], failures={1: "ValueError: bad"})
    assert reasons(request) == [DefaultReason.NONE, DefaultReason.MODEL_ERROR, DefaultReason.NONE]
    assert request.queries[1].explanation == "ValueError: bad"
    assert outputs(request) == ["answer to good", "default", "answer to good too"]


def test_a_container_that_answers_with_too_few_outputs_fails_the_whole_batch() -> None:
    world = World(batch_size=8)
    request = world.ask(b"a", b"b")
    batch = world.batches.pop()
    world.engine.batch_answered(batch.replica, batch.batch_id, ["one"], {}, 0.0, world.now_s)
    assert reasons(request) == [DefaultReason.MODEL_ERROR] * 2


def test_a_lost_batch_is_answered_by_another_replica() -> None:
    world = World(replicas=2, batch_size=1)
    request = world.ask(b"x")
    world.lose(world.batches[0].replica)
    assert len(world.batches) == 1
    world.answer_all()
    assert outputs(request) == ["answer to x"]


def test_a_batch_lost_with_the_last_replica_gets_the_default_at_once() -> None:
    world = World()
    request = world.ask(b"x")
    world.lose(world.batches[0].replica)
    assert reasons(request) == [DefaultReason.REPLICA_LOST]


def test_a_batch_is_not_tried_a_third_time() -> None:
    world = World(replicas=3)
    request = world.ask(b"poison")
    world.lose(world.batches[0].replica)
    world.lose(world.batches[0].replica)
    assert reasons(request) == [DefaultReason.REPLICA_LOST]


def test_queued_queries_get_the_default_when_the_last_replica_is_lost() -> None:
    world = World(batch_size=1)
    world.ask(b"a")
    world.ask(b"b")
    queued = world.ask(b"c")
    world.lose(world.dialled[0])
    assert reasons(queued) == [DefaultReason.NO_REPLICA]


def test_a_lost_replica_serves_again_once_it_is_back() -> None:
    world = World()
    world.lose(world.dialled[0])
    world.engine.replica_ready(world.dialled[0], world.now_s)
    request = world.ask(b"x")
    world.answer_all()
    assert outputs(request) == ["answer to x"]


def test_a_replica_whose_lease_ended_finishes_its_batches_and_gets_no_more() -> None:
    world = World(replicas=2, batch_size=1)
    first = world.ask(b"a")
    leaving = world.batches[0].replica
    world.change(Change.delete(leaving.record))
    assert world.released == []
    world.ask(b"b")
    assert world.batches[-1].replica is not leaving
    world.answer(world.batches[0])
    assert outputs(first) == ["answer to a"]
    assert world.released == [leaving]


def test_an_idle_replica_whose_lease_ended_is_released_at_once() -> None:
    world = World(replicas=2)
    world.change(Change.delete(world.dialled[0].record))
    assert world.released == [world.dialled[0]]


def test_a_new_current_version_takes_new_queries_and_the_old_one_finishes_its_own() -> None:
    world = World(batch_size=1)
    old = world.ask(b"old")
    world.change(Change.put(ModelVersion("m", "2", InputType.DOUBLES)))
    world.add_replica("2", 7)
    world.change(Change.put(CurrentVersion("m", "2")))
    world.ask(b"new")
    assert [batch.replica.record.model_version for batch in world.batches] == ["1", "2"]
    world.answer_all()
    assert outputs(old) == ["answer to old"]


def test_replicas_may_come_before_their_version_is_registered() -> None:
    world = World(replicas=0)
    world.add_replica("2", 0)
    world.change(Change.put(ModelVersion("m", "2", InputType.DOUBLES)), Change.put(CurrentVersion("m", "2")))
    request = world.ask(b"x")
    world.answer_all()
    assert outputs(request) == ["answer to x"]


def test_a_version_can_be_asked_for_by_name() -> None:
    world = World()
    world.change(Change.put(ModelVersion("m", "2", InputType.DOUBLES)))
    world.add_replica("2", 7)
    world.ask(b"x", version="2")
    assert world.batches[0].replica.record.model_version == "2"


def test_a_deleted_version_answers_its_queue_with_the_default() -> None:
    world = World(batch_size=1)
    world.ask(b"a")
    world.ask(b"b")
    queued = world.ask(b"c")
    world.change(Change.delete(world.configuration.model_versions["m:1"]))
    assert reasons(queued) == [DefaultReason.NO_REPLICA]


def test_a_version_registered_again_is_another_version() -> None:
    world = World(cache_bytes=10_000)
    world.ask(b"x")
    world.answer_all()
    record = world.configuration.model_versions["m:1"]
    world.change(Change.delete(record))
    world.change(Change.put(ModelVersion("m", "1", InputType.DOUBLES, registration=9)))
    request = world.ask(b"x")
    assert not request.queries[0].answered
    world.answer_all()
    assert outputs(request) == ["answer to x"]


def test_what_waits_for_a_version_that_is_replaced_waits_for_the_one_in_its_place() -> None:
    world = World(batch_size=1, cache_bytes=10_000)
    known = world.ask(b"a")
    world.answer_all()
    computed, sent, queued = world.ask(b"b"), world.ask(b"c"), world.ask(b"d")
    world.change(Change.put(ModelVersion("m", "1", InputType.DOUBLES, batch_size=1, registration=9)))
    asked_again = world.ask(b"a")
    world.answer_all()
    answered = [outputs(request) for request in (known, computed, sent, queued, asked_again)]
    assert answered == [[f"answer to {name}"] for name in "abcda"]


def test_what_waits_does_not_wait_for_a_version_that_takes_something_else() -> None:
    world = World(batch_size=1)
    _computed, _sent, queued = world.ask(b"a"), world.ask(b"b"), world.ask(b"c")
    world.change(Change.put(ModelVersion("m", "1", InputType.STRINGS, registration=9)))
    assert reasons(queued) == [DefaultReason.NO_REPLICA]


def test_a_cached_output_answers_at_once_even_without_replicas() -> None:
    world = World(cache_bytes=10_000)
    world.ask(b"x")
    world.answer_all()
    world.lose(world.dialled[0])
    assert outputs(world.ask(b"x")) == ["answer to x"]


def test_equal_queries_reach_the_model_once() -> None:
    world = World(cache_bytes=10_000)
    requests = [world.ask(b"x") for _ in range(5)]
    assert sizes(world.batches) == [1]
    world.answer_all()
    assert all(outputs(request) == ["answer to x"] for request in requests)
    assert len(world.finished) == 5


def test_an_output_that_comes_too_late_still_fills_the_cache() -> None:
    world = World(cache_bytes=10_000)
    world.ask(b"x")
    world.pass_time(0.2)
    world.answer_all()
    assert outputs(world.ask(b"x")) == ["answer to x"]


def test_nobody_joins_a_query_that_expired_in_the_queue() -> None:
    world = World(batch_size=1, cache_bytes=10_000)
    world.ask(b"a", deadline_s=5)
    world.ask(b"b", deadline_s=5)
    world.ask(b"x", deadline_s=0.01)
    world.pass_time(0.02)
    later = world.ask(b"x", deadline_s=5)
    world.answer_all()
    assert outputs(later) == ["answer to x"]


def test_a_later_joiner_keeps_a_query_in_the_queue_after_the_first_waiter_expired() -> None:
    world = World(batch_size=1, cache_bytes=10_000)
    world.ask(b"a", deadline_s=5)
    world.ask(b"b", deadline_s=5)
    first = world.ask(b"x", deadline_s=0.01)
    joiner = world.ask(b"x", deadline_s=5)
    world.pass_time(0.02)
    world.answer_all()
    assert reasons(first) == [DefaultReason.DEADLINE_IN_QUEUE]
    assert outputs(joiner) == ["answer to x"]


def test_a_failed_input_is_not_cached() -> None:
    world = World(cache_bytes=10_000)
    world.ask(b"x")
    world.answer(world.batches[0], failures={0: "no"})
    request = world.ask(b"x")
    world.answer_all()
    assert outputs(request) == ["answer to x"]


def test_a_cancelled_request_is_never_finished_and_never_sent() -> None:
    world = World(batch_size=1)
    world.ask(b"a")
    world.ask(b"b")
    gone = world.ask(b"gone")
    world.engine.cancel(gone)
    world.answer_all()
    world.pass_time(1)
    assert gone not in world.finished


def test_a_replica_that_became_ready_after_its_lease_ended_stays_out() -> None:
    world = World(replicas=0)
    replica = world.add_replica("1", 0, ready=False)
    world.change(Change.delete(replica.record))
    world.engine.replica_ready(replica, world.now_s)
    assert replica.state is ReplicaState.DRAINING
    assert reasons(world.ask(b"x")) == [DefaultReason.NO_REPLICA]


def test_nothing_is_left_behind_after_all_is_answered() -> None:
    world = World(cache_bytes=10_000, batch_size=4)
    for number in range(5_000):
        world.ask(b"%d" % number)
        world.answer_all()
    world.pass_time(2.0)
    assert world.engine.wake_at_s == float("inf")
    assert world.engine.cache.size_bytes <= 10_000
