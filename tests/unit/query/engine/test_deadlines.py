"""Requests by deadline."""

import gc
import math
import random

from services.common.names import InputType
from services.common.records import Application
from services.query.engine.deadlines import Deadlines
from services.query.engine.requests import NOBODY, Request
from services.query.engine.versions import Route

_ROUTE = Route(Application("app", InputType.DOUBLES, "", 1), {})


def _request(deadline_s: float) -> Request:
    return Request(_ROUTE, None, [b""], 0, 0.0, deadline_s, NOBODY)


def _watching(*deadlines_s: float) -> tuple[Deadlines, list[Request]]:
    watched = Deadlines()
    requests = [_request(deadline_s) for deadline_s in deadlines_s]
    for request in requests:
        watched.add(request)
    return watched, requests


def test_without_requests_there_is_no_deadline() -> None:
    watched = Deadlines()
    assert watched.next() == math.inf
    assert watched.expire(1e9) == []


def test_the_next_deadline_is_the_earliest_of_an_unanswered_request() -> None:
    watched, requests = _watching(3.0, 1.0, 2.0)
    assert watched.next() == 1.0
    requests[1].unanswered = 0
    assert watched.next() == 2.0


def test_what_is_due_expires_in_order_and_once() -> None:
    watched, (late, early, _) = _watching(2.0, 1.0, 3.0)
    assert watched.expire(0.999) == []
    assert watched.expire(2.0) == [early, late]
    assert watched.expire(2.0) == []
    assert watched.next() == 3.0


def test_requests_of_one_deadline_expire_in_their_order_of_arrival() -> None:
    watched, requests = _watching(*[1.0] * 50)
    assert watched.expire(1.0) == requests


def test_an_answered_request_never_expires() -> None:
    watched, requests = _watching(1.0, 1.0)
    requests[0].unanswered = 0
    assert watched.expire(5.0) == [requests[1]]


def test_a_request_without_deadline_waits_for_ever() -> None:
    watched, _ = _watching(math.inf)
    assert watched.next() == math.inf
    assert watched.expire(1e300) == []


def test_it_agrees_with_a_plain_list_over_any_history() -> None:
    seeded = random.Random(2)
    watched = Deadlines()
    waiting: list[Request] = []
    now_s = 0.0
    for _ in range(3_000):
        choice = seeded.random()
        if choice < 0.6:
            request = _request(now_s + seeded.expovariate(10.0))
            watched.add(request)
            waiting.append(request)
        elif choice < 0.8 and waiting:
            waiting.pop(seeded.randrange(len(waiting))).unanswered = 0
        else:
            now_s += seeded.expovariate(50.0)
            due = sorted((each for each in waiting if each.deadline_s <= now_s), key=lambda each: each.deadline_s)
            assert watched.expire(now_s) == due
            waiting = [each for each in waiting if each not in due]
        assert watched.next() == min((each.deadline_s for each in waiting), default=math.inf)


def test_answered_requests_do_not_pile_up_behind_a_distant_deadline() -> None:
    watched, _ = _watching(0.5)
    kept = _request(1.0)
    watched.add(kept)
    before = _live_requests()
    for _ in range(20_000):
        request = _request(1e6)
        watched.add(request)
        request.unanswered = 0
    assert _live_requests() - before < 3_000
    assert watched.expire(0.5) != []
    assert watched.expire(1.0) == [kept]


def _live_requests() -> int:
    gc.collect()
    # Not isinstance, which asks each object: there are tests with objects that end whoever asks.
    return sum(type(each) is Request for each in gc.get_objects())
