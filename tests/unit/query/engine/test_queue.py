"""Tasks that wait for a replica: lanes, shares, priorities."""

import dataclasses
import random
from collections import Counter

import pytest

from services.query.engine.queue import TaskQueue
from services.query.engine.requests import Task
from tests.fixtures.queues import APPLICATION, push, task

_MUCH = 1 << 30


def _queue(*deadlines_s: float, capacity: int = 1_000) -> tuple[TaskQueue, list[Task]]:
    queue = TaskQueue(capacity)
    tasks = [task(deadline_s) for deadline_s in deadlines_s]
    push(queue, *tasks)
    return queue, tasks


def _tenants(*, waiting: int = 100, **shares: float) -> TaskQueue:
    """A queue in which so many wait on behalf of each application."""
    queue = TaskQueue(1_000)
    for name, share in shares.items():
        application = dataclasses.replace(APPLICATION, name=name, share=share)
        push(queue, *(task(1.0, application) for _ in range(waiting)))
    return queue


def _served(tasks: list[Task]) -> Counter[str]:
    return Counter(each.application.name for each in tasks)


def test_the_earliest_deadline_is_taken_first() -> None:
    queue, (third, first, second) = _queue(3.0, 1.0, 2.0)
    assert queue.take(10, _MUCH) == [first, second, third]


def test_equal_deadlines_keep_their_order_of_arrival() -> None:
    queue, tasks = _queue(*[1.0] * 100)
    assert queue.take(100, _MUCH) == tasks


def test_no_more_are_taken_than_asked_for() -> None:
    queue, tasks = _queue(1.0, 2.0, 3.0)
    assert queue.take(2, _MUCH) == tasks[:2]
    assert queue.take(2, _MUCH) == tasks[2:]
    assert queue.take(2, _MUCH) == []


def test_a_task_for_which_nobody_waits_is_dropped_and_not_counted_against_the_limit() -> None:
    queue, tasks = _queue(1.0, 2.0, 3.0)
    tasks[0].waiters.clear()
    assert queue.take(2, _MUCH) == tasks[1:]
    assert len(queue) == 0


def test_a_task_that_stands_in_two_places_is_taken_once() -> None:
    queue, tasks = _queue(1.0, 2.0)
    queue.push(tasks[1], APPLICATION, 0.5)
    assert queue.take(3, _MUCH) == [tasks[1], tasks[0]]


def test_a_batch_is_bounded_in_bytes_and_the_rest_stays() -> None:
    queue = TaskQueue(1_000)
    tasks = [task(float(number), data=bytes(40)) for number in range(5)]
    push(queue, *tasks)
    assert queue.take(5, 100) == tasks[:2]
    assert queue.take(5, 100) == tasks[2:4]
    assert queue.take(5, 100) == tasks[4:]


def test_an_input_that_is_larger_than_a_batch_may_be_goes_alone() -> None:
    queue = TaskQueue(1_000)
    large, small = task(1.0, data=bytes(200)), task(2.0)
    push(queue, large, small)
    assert queue.take(5, 100) == [large]
    assert queue.take(5, 100) == [small]


def test_a_lane_is_full_at_the_capacity_and_another_is_not() -> None:
    queue, _ = _queue(1.0, 2.0, capacity=3)
    other = dataclasses.replace(APPLICATION, name="other")
    assert not queue.is_full_for(APPLICATION)
    push(queue, task(0.0))
    assert queue.is_full_for(APPLICATION)
    assert not queue.is_full_for(other)
    queue.take(1, _MUCH)
    assert not queue.is_full_for(APPLICATION)


def test_clearing_gives_back_everything() -> None:
    queue, tasks = _queue(2.0, 1.0, 3.0)
    assert set(queue.clear()) == set(tasks)
    assert len(queue) == 0
    assert list(queue.clear()) == []


def test_the_head_of_a_lane_can_be_removed() -> None:
    queue, tasks = _queue(3.0, 1.0, 2.0)
    (lane,) = queue.lanes
    assert queue.remove(lane, 2) == [tasks[1], tasks[2]]
    assert lane.due_s(0) == 3.0
    assert len(queue) == 1


def test_it_takes_what_a_sorted_list_would_over_any_history() -> None:
    seeded = random.Random(4)
    queue = TaskQueue(10_000)
    waiting: list[Task] = []
    for _ in range(3_000):
        if seeded.random() < 0.7:
            pushed = task(seeded.choice((1.0, 2.0, seeded.random())))
            push(queue, pushed)
            waiting.append(pushed)
        else:
            limit = seeded.randrange(1, 9)
            waiting.sort(key=lambda each: each.due_s)
            assert queue.take(limit, _MUCH) == waiting[:limit]
            waiting = waiting[limit:]
        assert len(queue) == len(waiting)


@pytest.mark.parametrize(("share", "expected"), [(1.0, 20), (3.0, 30), (0.25, 8)])
def test_a_batch_is_divided_by_the_shares(share: float, expected: int) -> None:
    assert _served(_tenants(one=share, two=1.0).take(40, _MUCH))["one"] == expected


def test_what_a_lane_cannot_use_falls_to_the_others() -> None:
    queue = _tenants(busy=1.0)
    idle = dataclasses.replace(APPLICATION, name="idle", share=9.0)
    push(queue, task(1.0, idle), task(1.0, idle))
    assert _served(queue.take(40, _MUCH)) == {"busy": 38, "idle": 2}


@pytest.mark.parametrize("size", [1, 2, 3])
def test_batches_smaller_than_the_lanes_are_many_keep_the_shares_over_time(size: int) -> None:
    queue = _tenants(waiting=400, one=3.0, two=1.0, three=1.0, four=1.0)
    served: Counter[str] = Counter()
    for _ in range(300 // size):
        served += _served(queue.take(size, _MUCH))
    assert served["one"] == pytest.approx(150, abs=10)
    assert served["two"] == pytest.approx(50, abs=10)


def test_whoever_was_away_has_no_claim_to_what_the_others_were_served() -> None:
    queue = _tenants(waiting=200, one=1.0, two=1.0)
    for _ in range(100):
        queue.take(1, _MUCH)
    newcomer = dataclasses.replace(APPLICATION, name="newcomer")
    push(queue, *(task(1.0, newcomer) for _ in range(200)))
    served: Counter[str] = Counter()
    for _ in range(90):
        served += _served(queue.take(1, _MUCH))
    assert served["newcomer"] == pytest.approx(30, abs=2)


def test_a_more_important_class_is_served_first_whatever_its_share() -> None:
    queue = TaskQueue(1_000)
    for name in ("low", "normal", "high"):
        application = dataclasses.replace(APPLICATION, name=name, priority=name, share=0.1)
        push(queue, *(task(1.0, application) for _ in range(10)))
    assert _served(queue.take(10, _MUCH)) == {"high": 10}
    assert _served(queue.take(15, _MUCH)) == {"normal": 10, "low": 5}


def test_within_a_lane_the_earliest_deadline_goes_first_whatever_the_others_wait_for() -> None:
    queue = TaskQueue(1_000)
    other = dataclasses.replace(APPLICATION, name="other")
    late, early, others = task(2.0), task(1.0), task(0.1, other)
    push(queue, late, early, others)
    assert set(queue.take(2, _MUCH)) == {early, others}
