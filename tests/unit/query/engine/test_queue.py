"""Tasks that wait for a replica."""

import random

from services.common.names import InputType
from services.common.records import Application, ModelVersion
from services.query.engine.queue import TaskQueue
from services.query.engine.requests import Request, Task
from services.query.engine.versions import Route, Version

_ROUTE = Route(Application("app", InputType.DOUBLES, "", 1), None)
_VERSION = Version(ModelVersion("m", "1", InputType.DOUBLES), queue_capacity=1)


def _task(deadline_s: float) -> Task:
    request = Request(_ROUTE, _VERSION, [b""], 0, 0.0, deadline_s, None)
    return Task(_VERSION, b"", request.queries[0], None)


def _queue(*deadlines_s: float, capacity: int = 1_000) -> tuple[TaskQueue, list[Task]]:
    queue = TaskQueue(capacity)
    tasks = [_task(deadline_s) for deadline_s in deadlines_s]
    for task in tasks:
        queue.push(task)
    return queue, tasks


def test_the_earliest_deadline_is_taken_first() -> None:
    queue, (third, first, second) = _queue(3.0, 1.0, 2.0)
    assert queue.take(10) == [first, second, third]


def test_equal_deadlines_keep_their_order_of_arrival() -> None:
    queue, tasks = _queue(*[1.0] * 100)
    assert queue.take(100) == tasks


def test_no_more_are_taken_than_asked_for() -> None:
    queue, tasks = _queue(1.0, 2.0, 3.0)
    assert queue.take(2) == tasks[:2]
    assert queue.take(2) == tasks[2:]
    assert queue.take(2) == []


def test_a_task_for_which_nobody_waits_is_dropped_and_not_counted_against_the_limit() -> None:
    queue, tasks = _queue(1.0, 2.0, 3.0)
    tasks[0].waiters.clear()
    assert queue.take(2) == tasks[1:]
    assert len(queue) == 0


def test_it_is_full_at_its_capacity() -> None:
    queue, _ = _queue(1.0, 2.0, capacity=3)
    assert not queue.full
    queue.push(_task(0.0))
    assert queue.full
    queue.take(1)
    assert not queue.full


def test_clearing_gives_back_everything() -> None:
    queue, tasks = _queue(2.0, 1.0, 3.0)
    assert set(queue.clear()) == set(tasks)
    assert len(queue) == 0
    assert queue.clear() == []


def test_it_takes_what_a_sorted_list_would_over_any_history() -> None:
    seeded = random.Random(4)
    queue = TaskQueue(10_000)
    waiting: list[Task] = []
    for _ in range(3_000):
        if seeded.random() < 0.7:
            task = _task(seeded.choice((1.0, 2.0, seeded.random())))
            queue.push(task)
            waiting.append(task)
        else:
            limit = seeded.randrange(1, 9)
            waiting.sort(key=lambda each: each.deadline_s)
            assert queue.take(limit) == waiting[:limit]
            waiting = waiting[limit:]
        assert len(queue) == len(waiting)
