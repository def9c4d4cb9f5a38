"""The engine's promises about shared tasks, early refusal, the cache's options, explanations and batches."""

from typing import Any

import pytest

from services.query.engine.requests import DefaultReason, Spent
from tests.fixtures.worlds import World, outputs, reasons, sizes


def _busy_world(**attributes: Any) -> World:
    """A replica with a batch in flight and one behind it, so that what is asked next waits in the queue."""
    world = World(batch_size=1, cache_bytes=10_000, slo_s=5.0)
    world.add_application("other", slo_s=5.0, **attributes)
    world.ask(b"running")
    world.ask(b"behind")
    return world


def _learn(world: World, took_s: float) -> None:
    """Has the replica take so long for each of many single queries."""
    for number in range(20):
        world.ask(b"%d" % number, deadline_s=10 * took_s)
        world.pass_time(took_s)
        world.answer_all()


def test_equal_queries_of_two_applications_reach_the_model_once() -> None:
    world = _busy_world()
    mine, theirs = world.ask(b"x"), world.ask(b"x", application="other")
    world.answer_all()
    assert outputs(mine) == outputs(theirs) == ["answer to x"]
    assert world.engine.versions["m:1"].cache_hits == 0
    assert not world.engine.versions["m:1"].queue


def test_a_task_that_a_more_important_application_joins_is_served_as_that_one_is() -> None:
    world = _busy_world(priority="high")
    requests = [world.ask(b"%d" % number) for number in range(5)]
    theirs = world.ask(b"4", application="other")
    world.answer(world.batches[0])
    assert world.batches[-1].tasks[0].input == b"4"
    world.answer_all()
    assert outputs(theirs) == outputs(requests[4]) == ["answer to 4"]


def test_a_task_that_somebody_more_urgent_joins_goes_earlier() -> None:
    world = _busy_world()
    world.ask(b"x", deadline_s=3.0)
    world.ask(b"y", deadline_s=4.0)
    urgent = world.ask(b"y", deadline_s=2.0)
    world.answer(world.batches[0])
    assert world.batches[-1].tasks[0].input == b"y"
    world.answer_all()
    assert outputs(urgent) == ["answer to y"]


def test_a_joined_task_outlives_the_application_that_asked_first() -> None:
    world = _busy_world()
    first = world.ask(b"x", deadline_s=0.1)
    theirs = world.ask(b"x", application="other")
    world.pass_time(0.2)
    assert reasons(first) == [DefaultReason.DEADLINE_IN_QUEUE]
    world.answer_all()
    assert outputs(theirs) == ["answer to x"]


def test_what_cannot_make_its_deadline_is_given_up_at_once_with_the_reason() -> None:
    world = World(slo_s=1.0)
    _learn(world, took_s=0.05)
    world.ask(b"running")
    hopeless, hopeful = world.ask(b"hopeless", deadline_s=0.08), world.ask(b"hopeful", deadline_s=0.9)
    world.pass_time(0.06)
    world.answer(world.batches[0])
    assert reasons(hopeless) == [DefaultReason.DEADLINE_UNREACHABLE]
    assert [task.input for task in world.batches[0].tasks] == [b"hopeful"]
    world.answer_all()
    assert outputs(hopeful) == ["answer to hopeful"]


def test_who_can_wait_longer_for_a_task_that_is_given_up_for_others_keeps_it() -> None:
    world = World(slo_s=1.0, cache_bytes=10_000)
    _learn(world, took_s=0.05)
    world.ask(b"running")
    hopeless, patient = world.ask(b"x", deadline_s=0.08), world.ask(b"x", deadline_s=0.9)
    world.pass_time(0.06)
    world.answer(world.batches[0])
    world.pass_time(0.03)
    world.answer_all()
    assert reasons(hopeless)[0] in (DefaultReason.DEADLINE_UNREACHABLE, DefaultReason.DEADLINE_IN_MODEL)
    assert outputs(patient) == ["answer to x"]


def test_an_application_that_does_without_the_cache_neither_reads_it_nor_joins() -> None:
    world = World(batch_size=1, cache_bytes=10_000)
    world.add_application("fresh", use_cache=False)
    world.ask(b"x")
    world.ask(b"x", application="fresh")
    assert sizes(world.batches) == [1, 1]
    world.answer_all()
    world.ask(b"x", application="fresh")
    assert sizes(world.batches) == [1]


def test_what_an_application_without_cache_had_computed_is_not_kept() -> None:
    world = World(cache_bytes=10_000)
    world.add_application("fresh", use_cache=False)
    world.ask(b"x", application="fresh")
    world.answer_all()
    world.ask(b"x")
    assert sizes(world.batches) == [1]


def test_a_cached_output_that_is_too_old_for_an_application_is_computed_anew() -> None:
    world = World(cache_bytes=10_000)
    world.add_application("fresh", cache_ttl_micros=1_000_000)
    world.ask(b"x")
    world.answer_all()
    world.pass_time(0.5)
    assert world.ask(b"x", application="fresh").queries[0].answered
    world.pass_time(1.0)
    assert not world.ask(b"x", application="fresh").queries[0].answered
    assert world.ask(b"x").queries[0].answered


def test_who_asks_is_told_where_the_time_went() -> None:
    world = World(batch_size=8)
    world.ask(b"running")
    world.pass_time(0.01)
    request = world.ask(b"a", b"b", explain=True)
    world.pass_time(0.02)
    world.answer(world.batches[0])
    world.pass_time(0.03)
    world.answer(world.batches[0], model_s=0.025)
    assert request.queries[0].spent == pytest.approx((False, 0.02, 2, 0.025, 0.005))


def test_who_asks_is_told_of_a_cache_hit() -> None:
    world = World(cache_bytes=10_000)
    world.ask(b"x")
    world.answer_all()
    assert world.ask(b"x", explain=True).queries[0].spent == Spent(True, 0.0, 0, 0.0, 0.0)


def test_nobody_else_is_told_and_nobody_is_told_of_a_default() -> None:
    world = World()
    silent = world.ask(b"x")
    world.answer_all()
    assert silent.queries[0].spent is None
    late = world.ask(b"y", explain=True)
    world.pass_time(0.1)
    assert late.queries[0].spent is None


def test_a_batch_is_bounded_in_bytes() -> None:
    world = World(batch_size=8)
    world.ask(b"running")
    world.ask(*(bytes([number]) + bytes(12 * 2**20) for number in range(4)))
    world.answer(world.batches[0])
    assert sizes(world.batches) == [2]
    world.answer(world.batches[0])
    assert sizes(world.batches) == [2]


def test_a_held_back_batch_leaves_when_its_time_has_come() -> None:
    world = World(batch_size=8, batch_delay_s=0.002)
    world.ask(b"a")
    assert world.batches == []
    assert world.engine.wake_at_s == pytest.approx(0.002)
    world.pass_time(0.001)
    world.ask(b"b")
    assert world.batches == []
    world.pass_time(0.0011)
    assert sizes(world.batches) == [2]


def test_a_held_back_batch_that_is_full_leaves_at_once() -> None:
    world = World(batch_size=2, batch_delay_s=0.002)
    world.ask(b"a")
    world.ask(b"b")
    assert sizes(world.batches) == [2]
    world.pass_time(0.01)
    assert sizes(world.batches) == [2]


def test_a_full_batch_is_sent_shortly_before_the_replica_is_done() -> None:
    world = World(slo_s=0.1)
    _learn(world, took_s=0.02)
    world.ask(b"running")
    world.ask(*(b"more %d" % number for number in range(50)))
    assert sizes(world.batches) == [1]
    assert 0.015 < world.engine.wake_at_s - world.now_s < 0.02
    world.pass_time(world.engine.wake_at_s - world.now_s)
    assert len(world.batches) == 2
