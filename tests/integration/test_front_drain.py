"""The contract of the front's drain: what was accepted is answered, nothing else is, and it ends."""

import threading
import time

import grpc
import pytest

from services.query.front import Front, Loop, StreamCall, UnaryCall
from tests.integration.fronts import (
    ECHO,
    PATIENCE_S,
    STREAM,
    channel_to,
    code_of,
    running_front,
    server_stream,
    unary,
    wait_until,
)


class Kept:
    """Serves unary and stream methods alike, and answers neither."""

    def __init__(self) -> None:
        self.calls: list[UnaryCall] = []
        self.streams: list[StreamCall] = []
        self.cancelled = 0

    def unary(self, call: UnaryCall, request: bytes) -> None:
        self.calls.append(call)

    def watched_unary(self, call: UnaryCall, request: bytes) -> None:
        call.watch(self._count)
        self.calls.append(call)

    def stream(self, call: StreamCall) -> "Kept":
        call.watch(self._count)
        self.streams.append(call)
        return self

    def on_message(self, message: bytes) -> None:
        pass

    def on_half_close(self) -> None:
        pass

    def _count(self) -> None:
        self.cancelled += 1


def serves(front: Front) -> bool:
    """Whether the front answers a client that connects anew."""
    with channel_to(front) as channel:
        return code_of(lambda: unary(channel, "/test.Service/Probe")(b"", timeout=1)) != grpc.StatusCode.UNAVAILABLE


def has_thread() -> bool:
    return any(thread.name in ("front", "poller") for thread in threading.enumerate())


def test_accepted_calls_finish_and_new_ones_are_refused() -> None:
    kept = Kept()
    with running_front({ECHO: kept.unary}) as front, channel_to(front) as channel:
        accepted = unary(channel).future(b"", timeout=PATIENCE_S)
        wait_until(lambda: len(kept.calls) == 1)
        assert serves(front)
        drain = threading.Thread(target=front.drain, args=(PATIENCE_S,), name="drain")
        drain.start()
        wait_until(lambda: not serves(front))
        # A call that crosses the server's GOAWAY on its way may be cancelled instead; none is served.
        wait_until(lambda: code_of(lambda: unary(channel)(b"", timeout=1)) == grpc.StatusCode.UNAVAILABLE)
        assert len(kept.calls) == 1
        assert drain.is_alive()
        kept.calls[0].reply(b"in time")
        assert accepted.result() == b"in time"
        drain.join(PATIENCE_S)
        assert not drain.is_alive()
        assert not has_thread()


def test_calls_that_wait_for_a_busy_front_are_accepted() -> None:
    handled = 0
    may_go_on = threading.Event()

    def slow(call: UnaryCall, request: bytes) -> None:
        nonlocal handled
        handled += 1
        time.sleep(0.001)
        if handled == 300:
            may_go_on.wait(PATIENCE_S)
        call.reply(request)

    with running_front({ECHO: slow}) as front, channel_to(front) as channel:
        calls = [unary(channel).future(b"", timeout=PATIENCE_S) for _ in range(600)]
        wait_until(lambda: handled == 300)
        may_go_on.set()
        front.drain(PATIENCE_S)
        assert {call.code() for call in calls} == {grpc.StatusCode.OK}


def test_an_idle_front_drains_at_once() -> None:
    with running_front({ECHO: Kept().unary}) as front, channel_to(front):
        assert serves(front)
        started_s = time.monotonic()
        front.drain(2 * PATIENCE_S)
        assert time.monotonic() - started_s < PATIENCE_S
        assert not has_thread()


@pytest.mark.parametrize("watched", [True, False], ids=["watched", "unwatched"])
def test_a_stuck_call_is_cancelled_after_the_grace(watched: bool) -> None:
    kept = Kept()
    handler = kept.watched_unary if watched else kept.unary
    with running_front({ECHO: handler}) as front, channel_to(front) as channel:
        stuck = unary(channel).future(b"")
        wait_until(lambda: len(kept.calls) == 1)
        started_s = time.monotonic()
        front.drain(0.2)
        assert 0.2 <= time.monotonic() - started_s < PATIENCE_S
        assert not has_thread()
        assert kept.cancelled == (1 if watched else 0)
        assert stuck.code() == grpc.StatusCode.UNAVAILABLE
        kept.calls[0].reply(b"late")
        kept.calls[0].watch(lambda: None)


def test_an_open_stream_is_cancelled_after_the_grace() -> None:
    kept = Kept()
    with running_front(streams={STREAM: kept.stream}) as front, channel_to(front) as channel:
        answers = server_stream(channel)(b"")
        wait_until(lambda: len(kept.streams) == 1)
        front.drain(0.1)
        assert kept.cancelled == 1
        assert code_of(lambda: next(answers)) == grpc.StatusCode.UNAVAILABLE
        kept.streams[0].send(b"late")
        kept.streams[0].finish()


def test_a_second_drain_may_cut_the_grace_short() -> None:
    kept = Kept()
    with running_front({ECHO: kept.unary}) as front, channel_to(front) as channel:
        stuck = unary(channel).future(b"")
        wait_until(lambda: len(kept.calls) == 1)
        patient = threading.Thread(target=front.drain, args=(600,), name="drain")
        patient.start()
        front.drain(0)
        patient.join(PATIENCE_S)
        assert not patient.is_alive()
        assert stuck.code() == grpc.StatusCode.UNAVAILABLE
        front.drain(0)


def test_a_front_that_never_started_drains() -> None:
    Front(Loop(), "127.0.0.1:0", {}, {}, max_message_bytes=1, max_unanswered=1).drain(PATIENCE_S)
