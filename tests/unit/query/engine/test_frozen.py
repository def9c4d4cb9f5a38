"""A replica that keeps a batch for too long is routed round: what it has goes elsewhere, and nothing more to it."""

import pytest

from services.common.records import Change
from services.query.engine.requests import DefaultReason
from services.query.engine.versions import Batch, ReplicaState
from tests.fixtures.worlds import World, outputs, reasons, sizes

_SLO_S = 1.0
# Half of the objective, and an objective and a second.
_OVERDUE_S = 0.51
_FROZEN_S = 2.01


def _world(*, replicas: int = 2, batch_size: int = 8, cache_bytes: int = 0) -> World:
    """One whose replicas have all answered quickly before."""
    world = World(slo_s=_SLO_S, replicas=replicas, batch_size=batch_size, cache_bytes=cache_bytes)
    for number in range(replicas):
        world.ask(b"first %d" % number)
    world.pass_time(0.001)
    world.answer_all()
    world.finished.clear()
    return world


def _wait(world: World, seconds: float) -> None:
    """Lets time pass, the engine being woken whenever it wants to be."""
    ends_s = world.now_s + seconds
    while (next_s := min(world.engine.wake_at_s, ends_s)) < ends_s:
        world.pass_time(next_s - world.now_s)
    world.pass_time(ends_s - world.now_s)


def _stuck(world: World) -> tuple[Batch, Batch]:
    """A batch that its replica keeps, and the same at another."""
    (first,) = world.batches
    _wait(world, _OVERDUE_S)
    (second,) = world.batches[1:]
    assert second.replica is not first.replica
    return first, second


def test_what_a_replica_keeps_for_too_long_is_answered_by_another_and_once() -> None:
    world = _world()
    request = world.ask(b"a", b"b")
    first, second = _stuck(world)
    world.answer(second)
    assert outputs(request) == ["answer to a", "answer to b"]
    world.answer(first, output="late")
    assert outputs(request) == ["answer to a", "answer to b"]
    assert world.finished == [request]


def test_a_late_answer_counts_for_those_who_still_wait() -> None:
    world = _world()
    request = world.ask(b"a")
    first, second = _stuck(world)
    world.answer(first)
    assert outputs(request) == ["answer to a"]
    world.answer(second, output="later")
    assert outputs(request) == ["answer to a"]
    assert world.finished == [request]


def test_a_batch_behind_the_one_that_is_kept_goes_elsewhere_too() -> None:
    world = _world(replicas=1, batch_size=1)
    requests = [world.ask(b"computing"), world.ask(b"behind")]
    assert len(world.batches) == 2
    _wait(world, _OVERDUE_S)
    replica = world.add_replica("1", 1)
    for batch in [batch for batch in world.batches if batch.replica is replica]:
        world.answer(batch)
    assert [reasons(request) for request in requests] == [[DefaultReason.NONE]] * 2


def test_a_failure_does_not_count_while_another_replica_tries() -> None:
    world = _world()
    request = world.ask(b"a")
    first, second = _stuck(world)
    world.answer(first, {0: "TimeoutError: the disk"})
    assert not request.queries[0].answered
    world.answer(second)
    assert outputs(request) == ["answer to a"]


def test_a_failure_counts_when_no_other_replica_tries() -> None:
    world = _world(replicas=1)
    request = world.ask(b"a")
    _wait(world, _OVERDUE_S)
    world.answer(world.batches[0], {0: "ValueError: a"})
    assert reasons(request) == [DefaultReason.MODEL_ERROR]


def test_an_overdue_replica_is_sent_nothing_until_it_answers() -> None:
    world = _world(replicas=1)
    world.ask(b"kept")
    _wait(world, _OVERDUE_S)
    (kept,) = world.batches
    waiting = world.ask(b"waiting")
    assert world.batches == [kept]
    world.answer(kept)
    assert sizes(world.batches) == [1]
    world.answer_all()
    assert outputs(waiting) == ["answer to waiting"]


def test_what_a_second_replica_keeps_as_well_is_not_tried_on_a_third() -> None:
    world = _world(replicas=3)
    request = world.ask(b"poison", deadline_s=5.0)
    _stuck(world)
    _wait(world, _OVERDUE_S)
    assert len({batch.replica for batch in world.batches}) == 2
    _wait(world, 5.0)
    assert len(world.batches) == 2
    assert reasons(request) == [DefaultReason.DEADLINE_IN_MODEL]


def test_what_is_stuck_in_two_replicas_is_not_tried_on_a_third_when_both_are_lost() -> None:
    world = _world(replicas=3)
    request = world.ask(b"poison", deadline_s=5.0)
    first, second = _stuck(world)
    world.lose(first.replica)
    assert not request.queries[0].answered
    world.lose(second.replica)
    assert reasons(request) == [DefaultReason.REPLICA_LOST]
    assert world.batches == []


def test_without_an_elsewhere_queries_wait_for_the_replica_until_their_deadline() -> None:
    world = _world(replicas=1)
    answered, late = world.ask(b"kept"), world.ask(b"waiting", deadline_s=0.6)
    _wait(world, 0.7)
    assert reasons(late) == [DefaultReason.DEADLINE_IN_QUEUE]
    world.answer(world.batches[0])
    assert outputs(answered) == ["answer to kept"]
    assert world.batches == []


def test_a_frozen_replica_leaves_nobody_waiting_and_says_why() -> None:
    world = _world(replicas=1)
    world.ask(b"kept")
    _wait(world, _FROZEN_S - 0.1)
    waiting = world.ask(b"waiting")
    _wait(world, 0.2)
    new = world.ask(b"new")
    assert reasons(waiting) == reasons(new) == [DefaultReason.NO_REPLICA]
    assert "frozen" in waiting.queries[0].explanation
    assert "frozen" in new.queries[0].explanation
    assert [replica.record.replica_id for replica in world.frozen] == [0]


def test_a_frozen_replica_serves_again_as_soon_as_it_answers() -> None:
    world = _world(replicas=1)
    world.ask(b"kept")
    _wait(world, _FROZEN_S)
    world.answer(world.batches[0])
    request = world.ask(b"x")
    world.answer_all()
    assert outputs(request) == ["answer to x"]


def test_a_replica_that_hangs_again_is_noticed_as_fast() -> None:
    world = _world()
    world.ask(b"a")
    first, second = _stuck(world)
    world.answer(second)
    _wait(world, 30.0)
    world.answer(first)
    again = [world.ask(b"b"), world.ask(b"c")]
    kept = next(batch for batch in world.batches if batch.replica is first.replica)
    world.answer(next(batch for batch in world.batches if batch is not kept))
    _wait(world, _OVERDUE_S)
    world.answer(next(batch for batch in world.batches if batch is not kept))
    assert [reasons(request) for request in again] == [[DefaultReason.NONE]] * 2


def test_equal_queries_are_not_drawn_to_a_replica_that_keeps_their_input() -> None:
    world = _world(cache_bytes=10_000)
    world.ask(b"popular", deadline_s=0.3)
    _wait(world, _OVERDUE_S)
    (kept,) = world.batches
    request = world.ask(b"popular")
    (other,) = world.batches[1:]
    assert other.replica is not kept.replica
    world.answer(other)
    assert outputs(request) == ["answer to popular"]


def test_equal_queries_that_wait_for_a_stuck_input_take_one_place_in_the_queue() -> None:
    world = _world(replicas=1, cache_bytes=10_000)
    world.ask(b"popular", deadline_s=0.3)
    _wait(world, _OVERDUE_S)
    for _ in range(10):
        world.ask(b"popular")
    assert len(world.engine.versions["m:1"].queue) == 1


def test_equal_queries_do_not_wait_for_an_input_that_is_in_a_frozen_replica_either() -> None:
    world = _world(replicas=1, cache_bytes=10_000)
    world.ask(b"popular")
    _wait(world, _FROZEN_S)
    assert reasons(world.ask(b"popular")) == [DefaultReason.NO_REPLICA]
    world.answer(world.batches[0])
    assert outputs(world.ask(b"popular")) == ["answer to popular"]


@pytest.mark.parametrize("cache_bytes", [0, 10_000], ids=["uncached", "cached"])
def test_what_a_stuck_replica_keeps_at_the_end_of_its_lease_goes_elsewhere(cache_bytes: int) -> None:
    world = _world(cache_bytes=cache_bytes)
    request = world.ask(b"a")
    (first,) = world.batches
    world.change(Change.delete(first.replica.record))
    _wait(world, _OVERDUE_S)
    world.answer(world.batches[1])
    assert outputs(request) == ["answer to a"]
    assert first.replica.state is ReplicaState.DRAINING
    world.answer(first)
    assert world.released == [first.replica]
