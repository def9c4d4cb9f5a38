"""The contract of the front towards clients that go away before they are answered."""

import signal
import subprocess
import sys

import grpc
import pytest

from services.common.status import RpcStatus
from services.query.front import UnaryCall
from tests.integration.fronts import ECHO, PATIENCE_S, channel_to, code_of, running_front, unary, wait_until


class Kept:
    """A handler that keeps its calls unanswered and counts the cancelled ones."""

    def __init__(self) -> None:
        self.calls: list[UnaryCall] = []
        self.cancelled = 0

    def __call__(self, call: UnaryCall, request: bytes) -> None:
        call.watch(self._count)
        self.calls.append(call)

    def _count(self) -> None:
        self.cancelled += 1


def test_a_client_that_cancels_is_told_once_and_a_late_reply_is_harmless() -> None:
    kept = Kept()
    with running_front({ECHO: kept}) as front, channel_to(front) as channel:
        future = unary(channel).future(b"")
        wait_until(lambda: len(kept.calls) == 1)
        future.cancel()
        wait_until(lambda: kept.cancelled == 1)
        kept.calls[0].reply(b"late")
        kept.calls[0].fail(RpcStatus(grpc.StatusCode.ABORTED))
    assert kept.cancelled == 1


def test_a_client_whose_deadline_passes_is_told() -> None:
    kept = Kept()
    with running_front({ECHO: kept}) as front, channel_to(front) as channel:
        code = code_of(lambda: unary(channel)(b"", timeout=0.1))
        assert code == grpc.StatusCode.DEADLINE_EXCEEDED
        wait_until(lambda: kept.cancelled == 1)


def test_a_client_whose_process_is_killed_is_told() -> None:
    kept = Kept()
    with running_front({ECHO: kept}) as front:
        source = f"import grpc; grpc.insecure_channel('127.0.0.1:{front.port}').unary_unary('{ECHO}')(b'')"
        with subprocess.Popen([sys.executable, "-c", source]) as client:
            wait_until(lambda: len(kept.calls) == 1)
            client.send_signal(signal.SIGKILL)
            wait_until(lambda: kept.cancelled == 1)


def test_an_answered_call_is_not_cancelled_afterwards() -> None:
    kept = Kept()
    with running_front({ECHO: kept}) as front:
        with channel_to(front) as channel:
            future = unary(channel).future(b"", timeout=PATIENCE_S)
            wait_until(lambda: len(kept.calls) == 1)
            kept.calls[0].reply(b"in time")
            assert future.result() == b"in time"
        front.drain(PATIENCE_S)
    assert kept.cancelled == 0


def test_a_failing_on_cancel_does_not_end_the_front(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[UnaryCall] = []

    def fail_when_cancelled() -> None:
        raise RuntimeError("on_cancel is broken")

    def handle(call: UnaryCall, request: bytes) -> None:
        if request == b"keep":
            call.watch(fail_when_cancelled)
            calls.append(call)
        else:
            call.reply(request)

    with running_front({ECHO: handle}) as front, channel_to(front) as channel:
        future = unary(channel).future(b"keep")
        wait_until(lambda: len(calls) == 1)
        future.cancel()
        wait_until(lambda: "on_cancel is broken" in caplog.text)
        assert unary(channel)(b"hello", timeout=PATIENCE_S) == b"hello"
