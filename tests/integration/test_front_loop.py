"""The contract of the front's loop towards other threads and the clock."""

import math
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

import grpc
import pytest

from services.query.front import Front, Loop, StreamCall, UnaryCall
from tests.integration.fronts import (
    ECHO,
    PATIENCE_S,
    STREAM,
    channel_to,
    running_front,
    stream,
    unary,
    wait_until,
)


def echo(call: UnaryCall, request: bytes) -> None:
    call.reply(request)


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def front(loop: Loop) -> Iterator[Front]:
    """A front that runs the loop and has served a call, whose client is gone."""
    with running_front({ECHO: echo}, loop=loop) as running:
        with channel_to(running) as channel:
            unary(channel)(b"", timeout=PATIENCE_S)
        yield running


def call_back(loop: Loop) -> str:
    """Have the loop call back, and return the name of the thread that did."""
    names: list[str] = []
    loop.call_soon(lambda: names.append(threading.current_thread().name))
    wait_until(lambda: bool(names))
    return names[0]


def test_a_callback_runs_on_the_thread_of_the_front(loop: Loop, front: Front) -> None:
    assert call_back(loop) == "front"


def test_a_callback_runs_before_the_first_call_arrives(loop: Loop) -> None:
    with running_front(loop=loop):
        assert call_back(loop) == "front"


def test_a_callback_asked_for_before_the_start_runs_then(loop: Loop) -> None:
    called = threading.Event()
    loop.call_soon(called.set)
    with running_front(loop=loop):
        assert called.wait(PATIENCE_S)


def test_a_callback_wakes_an_idle_loop(loop: Loop, front: Front) -> None:
    started_s = time.monotonic()
    for _ in range(20):
        call_back(loop)
    assert time.monotonic() - started_s < PATIENCE_S


def test_callbacks_run_in_the_order_of_their_thread_and_none_is_lost(loop: Loop, front: Front) -> None:
    called: list[tuple[int, int]] = []

    def ask(thread: int) -> None:
        for i in range(2000):
            loop.call_soon(partial(called.append, (thread, i)))

    threads = [threading.Thread(target=ask, args=(thread,), name="asker") for thread in range(4)]
    with channel_to(front) as channel:
        for thread in threads:
            thread.start()
        calls = [unary(channel).future(b"", timeout=PATIENCE_S) for _ in range(500)]
        for thread in threads:
            thread.join()
        wait_until(lambda: len(called) == 4 * 2000)
        assert all(call.result() == b"" for call in calls)
    for thread_number in range(4):
        assert [i for thread, i in called if thread == thread_number] == list(range(2000))


def test_a_failing_callback_does_not_end_the_loop(loop: Loop, front: Front, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise RuntimeError("the callback is broken")

    loop.call_soon(fail)
    assert call_back(loop) == "front"
    assert "the callback is broken" in caplog.text


def test_a_callback_after_the_end_is_harmless(loop: Loop, front: Front) -> None:
    front.drain(0)
    loop.call_soon(lambda: pytest.fail("called after the end"))


def test_callbacks_while_the_front_drains_are_harmless(loop: Loop) -> None:
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            loop.call_soon(lambda: None)

    asker = threading.Thread(target=ask, name="asker")
    with running_front({ECHO: echo}, loop=loop) as front, channel_to(front) as channel:
        unary(channel)(b"", timeout=PATIENCE_S)
        asker.start()
        front.drain(PATIENCE_S)
    stop.set()
    asker.join()


def test_what_was_put_off_is_done_in_its_order_after_other_callbacks_and_before_the_loop_is_idle(
    loop: Loop, front: Front
) -> None:
    done: list[str] = []
    loop.on_idle = lambda: done.append("idle")

    def begin() -> None:
        done.clear()
        loop.put_off(partial(done.append, "first"))
        loop.put_off(partial(done.append, "second"))
        loop.call_soon(partial(done.append, "callback"))

    loop.call_soon(begin)
    wait_until(lambda: "idle" in done[1:])
    assert done[:4] == ["callback", "first", "second", "idle"]


def test_something_put_off_that_fails_keeps_nothing_else_from_being_done(
    loop: Loop, front: Front, caplog: pytest.LogCaptureFixture
) -> None:
    done: list[str] = []

    def fail() -> None:
        raise RuntimeError("what was put off is broken")

    def begin() -> None:
        loop.put_off(fail)
        loop.put_off(partial(done.append, "next"))

    loop.call_soon(begin)
    wait_until(lambda: done == ["next"])
    assert "what was put off is broken" in caplog.text


@pytest.mark.alone
def test_the_loop_wakes_on_time(loop: Loop, front: Front) -> None:
    woken_s: list[float] = []

    def wake() -> None:
        woken_s.append(time.monotonic())
        loop.wake_at_s = math.inf

    def wake_in_50_ms() -> None:
        loop.on_wake = wake
        loop.wake_at_s = due_s

    for awaited in range(1, 6):
        due_s = time.monotonic() + 0.05
        loop.call_soon(wake_in_50_ms)
        wait_until(lambda expected=awaited: len(woken_s) == expected)  # type: ignore[misc]
        assert 0 <= woken_s[-1] - due_s < 0.15


def test_the_loop_wakes_on_time_though_the_wall_clock_is_set_back() -> None:
    """The core waits by the true wall clock, which is behind the one that the loop believes in until it is set."""
    ahead_s = 2 * PATIENCE_S
    woken_s: list[float] = []
    loop = Loop(wall_clock=lambda: time.time() + ahead_s)

    def wake() -> None:
        woken_s.append(time.monotonic())
        loop.wake_at_s = math.inf

    def wake_in_100_ms() -> None:
        loop.on_wake = wake
        loop.wake_at_s = due_s

    with running_front({ECHO: echo}, loop=loop) as front, channel_to(front) as channel:
        unary(channel)(b"", timeout=PATIENCE_S)
        due_s = time.monotonic() + 0.1
        loop.call_soon(wake_in_100_ms)
        time.sleep(0.02)
        ahead_s = 0.0
        wait_until(lambda: bool(woken_s))
    assert 0 <= woken_s[0] - due_s < PATIENCE_S


def test_the_loop_is_idle_now_and_then_though_calls_come_without_end(loop: Loop) -> None:
    """A hundred calls keep the front's thread busy for 200 ms, of which none may wait for the last."""
    answered = 0
    answered_before: list[int] = []

    def answer_slowly(call: UnaryCall, request: bytes) -> None:
        nonlocal answered
        time.sleep(0.002)
        call.reply(request)
        answered += 1

    loop.on_idle = lambda: answered_before.append(answered)
    with running_front({ECHO: answer_slowly}, loop=loop) as front, channel_to(front) as channel:
        calls = [unary(channel).future(b"", timeout=PATIENCE_S) for _ in range(100)]
        assert all(call.result() == b"" for call in calls)
        assert len({before for before in answered_before if 0 < before < 100}) >= 5


class PuttingOff:
    """A stream's handler that takes a while for each message, and puts off work ten times as long.

    Attributes:
        taking_s: from the first message taken to the last, and `worked_between_s` of it with what was put off.
    """

    takes_s = 0.0002

    def __init__(self, loop: Loop, call: StreamCall) -> None:
        self._loop = loop
        self._call = call
        self.begun_s = 0.0
        self.worked_s = 0.0
        self.worked_between_s = 0.0
        self.taking_s = 0.0

    def on_message(self, message: bytes) -> None:
        self.begun_s = self.begun_s or time.monotonic()
        time.sleep(self.takes_s)
        self.taking_s, self.worked_between_s = time.monotonic() - self.begun_s, self.worked_s
        self._loop.put_off(partial(self._work, message))

    def on_half_close(self) -> None:
        self._loop.put_off(self._call.finish)

    def _work(self, message: bytes) -> None:
        begun_s = time.monotonic()
        time.sleep(10 * self.takes_s)
        self._call.send(message)
        self.worked_s += time.monotonic() - begun_s


@pytest.mark.alone
def test_what_has_arrived_on_a_stream_is_taken_before_most_of_the_work_that_it_brings(loop: Loop) -> None:
    """Its messages come to light one by one, so that reading them is not to wait for each other thing in turn."""
    handlers: list[PuttingOff] = []
    sent, messages = threading.Event(), [b"%d" % number for number in range(300)]

    def open_stream(call: StreamCall) -> PuttingOff:
        handlers.append(PuttingOff(loop, call))
        return handlers[0]

    def ask() -> Iterator[bytes]:
        yield from messages
        sent.set()

    def hold() -> None:
        assert sent.wait(PATIENCE_S)

    with (
        running_front({ECHO: echo}, {STREAM: open_stream}, loop=loop, max_unanswered=1000) as front,
        channel_to(front) as channel,
    ):
        unary(channel)(b"", timeout=PATIENCE_S)
        loop.call_soon(hold)
        assert list(stream(channel)(ask(), timeout=PATIENCE_S)) == messages
    assert handlers[0].worked_between_s < 0.4 * handlers[0].taking_s


def test_calls_without_end_do_not_seem_older_than_they_can_be(loop: Loop) -> None:
    """Four clients, each of which waits for its answer, leave no moment in which no event waits."""
    takes_s = 0.02
    waited_s: list[float] = []

    def answer_slowly(call: UnaryCall, request: bytes) -> None:
        waited_s.append(time.monotonic() - call.received_s)
        time.sleep(takes_s)
        call.reply(request)

    def ask(channel: grpc.Channel) -> None:
        for _ in range(25):
            unary(channel)(b"", timeout=PATIENCE_S)

    with running_front({ECHO: answer_slowly}, loop=loop) as front, ExitStack() as stack:
        channels = [stack.enter_context(channel_to(front)) for _ in range(4)]
        begun_s = time.monotonic()
        clients = [threading.Thread(target=ask, args=(channel,), name="client") for channel in channels]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        took_s = time.monotonic() - begun_s
    assert len(waited_s) == 100
    assert max(waited_s) < 0.5 * took_s
