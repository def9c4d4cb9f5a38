"""The contract of the front's stream calls."""

import asyncio
import queue
import threading
import time
from collections.abc import AsyncIterator, Iterator

import grpc
import pytest

from services.common.errors import UNEXPECTED, InvalidInput
from services.common.status import RpcStatus
from services.query.front import StreamCall
from tests.integration.fronts import (
    ECHO,
    PATIENCE_S,
    STREAM,
    channel_to,
    code_of,
    running_front,
    server_stream,
    stream,
    unary,
    wait_until,
)

SECRET = "the password is swordfish"


class Echo:
    """Answers every message with itself."""

    def __init__(self, call: StreamCall) -> None:
        self._call = call

    def on_message(self, message: bytes) -> None:
        self._call.send(message)

    def on_half_close(self) -> None:
        self._call.finish()


class Countdown:
    """Answers one message, a number, with as many messages."""

    def __init__(self, call: StreamCall) -> None:
        self._call = call

    def on_message(self, message: bytes) -> None:
        for number in reversed(range(int(message))):
            self._call.send(b"%d" % number)
        self._call.finish()

    def on_half_close(self) -> None:
        pass


class Repeater:
    """Answers every message with many copies of it."""

    copies = 100

    def __init__(self, call: StreamCall) -> None:
        self._call = call

    def on_message(self, message: bytes) -> None:
        for _ in range(self.copies):
            self._call.send(message)

    def on_half_close(self) -> None:
        self._call.finish()


class Silent:
    """Keeps what it receives and answers nothing of its own accord."""

    def __init__(self, call: StreamCall) -> None:
        call.watch(self._count)
        self.call = call
        self.received: list[bytes] = []
        self.cancelled = 0

    def on_message(self, message: bytes) -> None:
        self.received.append(message)

    def on_half_close(self) -> None:
        pass

    def _count(self) -> None:
        self.cancelled += 1


class Opened:
    """A factory of silent handlers that keeps what it made."""

    def __init__(self) -> None:
        self.handlers: list[Silent] = []

    def __call__(self, call: StreamCall) -> Silent:
        self.handlers.append(Silent(call))
        return self.handlers[-1]

    def first(self) -> Silent:
        wait_until(lambda: bool(self.handlers))
        return self.handlers[0]


def requests_until(ended: threading.Event, *messages: bytes) -> Iterator[bytes]:
    """The client's side of a stream: messages, then nothing until it is ended."""
    yield from messages
    ended.wait(PATIENCE_S)


@pytest.fixture
def ended() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def test_pipelined_messages_are_answered_in_order() -> None:
    requests = [b"%d" % i for i in range(1000)]
    with running_front(streams={STREAM: Echo}) as front, channel_to(front) as channel:
        assert list(stream(channel)(iter(requests), timeout=PATIENCE_S)) == requests


def test_an_aio_client_may_pipeline() -> None:
    requests = [b"%d" % i for i in range(1000)]

    async def outgoing() -> AsyncIterator[bytes]:
        for request in requests:
            yield request

    async def pipeline(port: int) -> list[bytes]:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(STREAM)
            return [answer async for answer in call(outgoing(), timeout=PATIENCE_S)]

    with running_front(streams={STREAM: Echo}) as front:
        assert asyncio.run(pipeline(front.port)) == requests


def test_one_message_may_be_answered_by_many() -> None:
    with running_front(streams={STREAM: Countdown}) as front, channel_to(front) as channel:
        answers = list(server_stream(channel)(b"100", timeout=PATIENCE_S))
    assert answers == [b"%d" % i for i in reversed(range(100))]


@pytest.mark.parametrize("size", [1, 4_000], ids=["small", "more than is read at once"])
def test_none_of_many_answers_waits_for_one_that_has_yet_to_be_sent(size: int) -> None:
    with running_front(streams={STREAM: Repeater}, max_unanswered=1_000) as front, channel_to(front) as channel:
        outbox: queue.Queue[bytes | None] = queue.Queue()
        answers = stream(channel)(iter(outbox.get, None), timeout=PATIENCE_S)
        for letter in (b"a", b"b"):
            outbox.put(letter * size)
            assert [next(answers) for _ in range(Repeater.copies)] == [letter * size] * Repeater.copies
        outbox.put(None)
        assert list(answers) == []


def test_messages_may_be_sent_from_another_thread() -> None:
    opened = Opened()
    with running_front(streams={STREAM: opened}) as front, channel_to(front) as channel:
        answers = server_stream(channel)(b"", timeout=PATIENCE_S)
        call = opened.first().call
        for i in range(10):
            call.send(b"%d" % i)
        call.finish()
        call.send(b"too late")
        call.finish(RpcStatus(grpc.StatusCode.ABORTED))
        assert list(answers) == [b"%d" % i for i in range(10)]


def test_a_status_ends_a_stream_after_what_was_sent(ended: threading.Event) -> None:
    class Refuse(Echo):
        def on_message(self, message: bytes) -> None:
            super().on_message(message)
            raise InvalidInput("no more of that")

    with running_front(streams={STREAM: Refuse}) as front, channel_to(front) as channel:
        answers = stream(channel)(requests_until(ended, b"one"), timeout=PATIENCE_S)
        assert next(answers) == b"one"
        assert code_of(lambda: next(answers)) == grpc.StatusCode.INVALID_ARGUMENT
        assert answers.details() == "no more of that"


@pytest.mark.parametrize("where", ["__init__", "on_message", "on_half_close"])
def test_an_unexpected_exception_stays_in_the_log(where: str, caplog: pytest.LogCaptureFixture) -> None:
    def break_down(*_: object) -> None:
        raise RuntimeError(SECRET)

    broken = type("Broken", (Echo,), {where: break_down})
    with running_front(streams={STREAM: broken}) as front, channel_to(front) as channel:
        answers = stream(channel)(iter([b"one"]), timeout=PATIENCE_S)
        assert code_of(lambda: list(answers)) == grpc.StatusCode.INTERNAL
        assert answers.details() == UNEXPECTED
        assert SECRET not in str(answers.trailing_metadata())
    assert SECRET in caplog.text


def test_a_status_that_cannot_be_sent_fails_the_stream_without_a_hang() -> None:
    opened = Opened()
    with running_front(streams={STREAM: opened}) as front, channel_to(front) as channel:
        answers = server_stream(channel)(b"", timeout=PATIENCE_S)
        opened.first().call.finish(RpcStatus(grpc.StatusCode.ABORTED, "no", (("key-bin", "text"),)))
        assert code_of(lambda: list(answers)) == grpc.StatusCode.INTERNAL


def test_an_oversized_message_breaks_the_stream(ended: threading.Event) -> None:
    opened = Opened()
    with running_front(streams={STREAM: opened}, max_message_bytes=1000) as front, channel_to(front) as channel:
        answers = stream(channel)(requests_until(ended, b"x", b"x" * 1001), timeout=PATIENCE_S)
        assert code_of(lambda: list(answers)) == grpc.StatusCode.RESOURCE_EXHAUSTED
        wait_until(lambda: opened.first().cancelled == 1)


def test_a_client_that_cancels_is_told_once_and_what_is_sent_then_is_harmless(ended: threading.Event) -> None:
    opened = Opened()
    with running_front(streams={STREAM: opened}) as front, channel_to(front) as channel:
        answers = stream(channel)(requests_until(ended, b"one"))
        handler = opened.first()
        wait_until(lambda: handler.received == [b"one"])
        answers.cancel()
        wait_until(lambda: handler.cancelled == 1)
        handler.call.send(b"late")
        handler.call.finish()
    assert handler.cancelled == 1


def test_a_client_whose_deadline_passes_is_told() -> None:
    opened = Opened()
    with running_front(streams={STREAM: opened}) as front, channel_to(front) as channel:
        answers = server_stream(channel)(b"", timeout=0.1)
        assert code_of(lambda: next(answers)) == grpc.StatusCode.DEADLINE_EXCEEDED
        wait_until(lambda: opened.first().cancelled == 1)


def test_reading_pauses_while_too_many_messages_wait_for_an_answer() -> None:
    opened = Opened()
    with (
        running_front({ECHO: lambda call, request: call.reply(request)}, {STREAM: opened}, max_unanswered=4) as front,
        channel_to(front) as channel,
    ):
        answers = stream(channel)(iter([b"%d" % i for i in range(10)]), timeout=PATIENCE_S)
        handler = opened.first()
        for answered in range(7):
            wait_until(lambda expected=answered + 4: len(handler.received) == expected)  # type: ignore[misc]
            unary(channel)(b"", timeout=PATIENCE_S)
            assert len(handler.received) == answered + 4
            handler.call.send(handler.received[answered])
            assert next(answers) == b"%d" % answered
        handler.call.finish()


def test_a_client_that_does_not_read_is_no_longer_read_from() -> None:
    sent = threading.Semaphore(0)
    total, message = 200, b"x" * (1 << 20)

    def requests() -> Iterator[bytes]:
        for _ in range(total):
            yield message
            sent.release()

    with running_front(streams={STREAM: Echo}, max_unanswered=4) as front, channel_to(front) as channel:
        answers = stream(channel)(requests(), timeout=PATIENCE_S * 3)
        stalled_after = 0
        while sent.acquire(timeout=0.5):
            stalled_after += 1
        assert stalled_after < total / 2
        assert sum(1 for _ in answers) == total


def test_an_old_connection_is_replaced_and_what_is_in_progress_on_it_goes_on() -> None:
    outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    left = threading.Event()
    with (
        running_front(
            {ECHO: lambda call, request: call.reply(request)}, {STREAM: Echo}, max_connection_age_s=0.3
        ) as front,
        channel_to(front) as channel,
    ):
        answers = stream(channel)(iter(outbox.get, None), timeout=PATIENCE_S)
        outbox.put(b"young")
        assert next(answers) == b"young"
        channel.subscribe(lambda state: left.set() if state is grpc.ChannelConnectivity.IDLE else None)
        assert left.wait(PATIENCE_S)
        assert unary(channel)(b"on a new one", timeout=PATIENCE_S) == b"on a new one"
        outbox.put(b"old")
        assert next(answers) == b"old"
        outbox.put(None)
        assert list(answers) == []


class Slow:
    """Takes its time for each message, but begins when it may, and writes down for how long each may have waited."""

    takes_s = 0.03

    def __init__(self, call: StreamCall, waited_s: list[float], may_begin: threading.Event) -> None:
        self._call = call
        self._waited_s = waited_s
        self._may_begin = may_begin

    def on_message(self, message: bytes) -> None:
        self._waited_s.append(time.monotonic() - self._call.received_s)
        self._may_begin.wait(PATIENCE_S)
        time.sleep(self.takes_s)
        self._call.send(message)

    def on_half_close(self) -> None:
        self._call.finish()


def test_what_a_message_waits_in_its_stream_counts_as_its_age() -> None:
    waited_s: list[float] = []
    all_sent = threading.Event()

    def messages() -> Iterator[bytes]:
        yield from [b""] * 10
        all_sent.set()

    with (
        running_front(streams={STREAM: lambda call: Slow(call, waited_s, all_sent)}) as front,
        channel_to(front) as channel,
    ):
        assert len(list(stream(channel)(messages(), timeout=PATIENCE_S))) == 10
    # All were there when the first was begun, so each can have waited for those before it.
    assert all(waited > 0.9 * number * Slow.takes_s for number, waited in enumerate(waited_s[2:]))


@pytest.mark.alone
def test_what_a_message_waits_since_its_client_reads_no_answers_does_not_count() -> None:
    waited_s: list[float] = []
    at_once = threading.Event()
    at_once.set()
    with (
        running_front(streams={STREAM: lambda call: Slow(call, waited_s, at_once)}, max_unanswered=1) as front,
        channel_to(front) as channel,
    ):
        assert len(list(stream(channel)(iter([b""] * 10), timeout=PATIENCE_S))) == 10
    assert sorted(waited_s)[5] < 3 * Slow.takes_s
