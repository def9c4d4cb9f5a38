"""The contract of the stream client, against servers in processes of their own that use grpcio's public API."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import grpc
import pytest

from clipper_admin.hosts.process import ports
from services.common.status import RpcStatus
from services.query.replicas.stream_client import ClientStream, StreamChannel
from tests.integration.fronts import PATIENCE_S, STREAM, wait_until

SERVER = """
import sys
from concurrent.futures import ThreadPoolExecutor
import grpc

def stream(requests, context):
    for request in requests:
        if request == b"refuse":
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not that")
        if request == b"after the next":
            yield next(requests)
        yield request * (1000 if request == b"large" else 1)

server = grpc.server(ThreadPoolExecutor(2), options=[("grpc.http2.min_ping_interval_without_data_ms", 100)])
handlers = {"Stream": grpc.stream_stream_rpc_method_handler(stream)}
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Service", handlers),))
print(server.add_insecure_port("127.0.0.1:" + sys.argv[1]), flush=True)
server.start()
server.wait_for_termination()
"""


@contextmanager
def running_server(port: int = 0) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """An echo server in a process of its own, and its address."""
    command = [sys.executable, "-c", SERVER, str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, f"127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.kill()


@contextmanager
def channel_to(address: str, *, max_message_bytes: int = 4 << 20, keepalive_s: float = 10) -> Iterator[StreamChannel]:
    channel = StreamChannel(address, max_message_bytes=max_message_bytes, keepalive_s=keepalive_s)
    try:
        yield channel
    finally:
        channel.close()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with running_server() as (_, address):
        yield address


class Reader:
    """The thread that runs a stream, what it received and how the stream ended."""

    def __init__(self, channel: StreamChannel, on_message: Callable[[bytes], None] | None = None) -> None:
        self.received: list[bytes] = []
        self.stream: ClientStream = channel.open(STREAM, on_message or self.received.append)
        self.ended_s = 0.0
        self._status: RpcStatus | None = None
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="reader")
        self._thread.start()

    def status(self) -> RpcStatus:
        """How the stream ended, once it has."""
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive(), "the stream did not end"
        if self._error is not None:
            raise self._error
        assert self._status is not None
        return self._status

    def _run(self) -> None:
        try:
            self._status = self.stream.run()
        except Exception as error:
            self._error = error
        self.ended_s = time.monotonic()


def test_messages_are_answered_in_order_until_the_half_close(address: str) -> None:
    messages = [b"%d" % i for i in range(500)]
    with channel_to(address) as channel:
        reader = Reader(channel)
        for message in messages:
            reader.stream.send(message)
        reader.stream.half_close()
        assert reader.status().code == grpc.StatusCode.OK
    assert reader.received == messages


def test_where_messages_have_overlapped_the_next_does_not_wait_for_an_answer(address: str) -> None:
    with channel_to(address) as channel:
        reader = Reader(channel)
        reader.stream.send(b"one")
        reader.stream.send(b"two")
        wait_until(lambda: reader.received == [b"one", b"two"])
        reader.stream.send(b"after the next")
        reader.stream.send(b"next")
        wait_until(lambda: reader.received[2:] == [b"next", b"after the next"])


def test_several_threads_may_send(address: str) -> None:
    with channel_to(address) as channel:
        reader = Reader(channel)

        def send_some() -> None:
            for _ in range(100):
                reader.stream.send(b"x")

        senders = [threading.Thread(target=send_some, name="sender") for _ in range(4)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        reader.stream.half_close()
        assert reader.status().code == grpc.StatusCode.OK
    assert len(reader.received) == 400


def test_a_cancelled_stream_ends(address: str) -> None:
    with channel_to(address) as channel:
        reader = Reader(channel)
        reader.stream.send(b"one")
        wait_until(lambda: reader.received == [b"one"])
        reader.stream.cancel()
        assert reader.status().code == grpc.StatusCode.CANCELLED
        reader.stream.cancel()


def test_a_closed_channel_ends_its_streams_and_opens_no_others(address: str) -> None:
    with channel_to(address) as channel:
        reader = Reader(channel)
        channel.close()
        assert reader.status().code == grpc.StatusCode.CANCELLED
        with pytest.raises(ValueError, match="closed"):
            channel.open(STREAM, print)


@pytest.mark.alone
def test_a_killed_server_ends_the_stream_at_once() -> None:
    with running_server() as (process, address), channel_to(address) as channel:
        reader = Reader(channel)
        reader.stream.send(b"one")
        wait_until(lambda: reader.received == [b"one"])
        killed_s = time.monotonic()
        process.send_signal(signal.SIGKILL)
        assert reader.status().code == grpc.StatusCode.UNAVAILABLE
        assert reader.ended_s - killed_s < 0.25
        reader.stream.send(b"late")
        reader.stream.half_close()


def test_sending_while_the_server_is_killed_is_harmless() -> None:
    with running_server() as (process, address), channel_to(address) as channel:
        reader = Reader(channel)
        process.send_signal(signal.SIGKILL)
        for _ in range(1000):
            reader.stream.send(b"x" * 1000)
        assert reader.status().code == grpc.StatusCode.UNAVAILABLE


def test_a_silent_server_is_noticed_by_the_keepalive() -> None:
    with running_server() as (process, address), channel_to(address, keepalive_s=0.3) as channel:
        reader = Reader(channel)
        reader.stream.send(b"one")
        wait_until(lambda: reader.received == [b"one"])
        process.send_signal(signal.SIGSTOP)
        assert reader.status().code == grpc.StatusCode.UNAVAILABLE


def test_the_status_of_the_server_comes_out(address: str) -> None:
    with channel_to(address) as channel:
        reader = Reader(channel)
        reader.stream.send(b"refuse")
        status = reader.status()
    assert (status.code, status.message) == (grpc.StatusCode.FAILED_PRECONDITION, "not that")


def test_an_oversized_answer_breaks_the_stream(address: str) -> None:
    with channel_to(address, max_message_bytes=1000) as channel:
        reader = Reader(channel)
        reader.stream.send(b"large")
        assert reader.status().code == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_what_on_message_raises_ends_the_stream_and_comes_out(address: str) -> None:
    def fail(message: bytes) -> None:
        raise RuntimeError(f"cannot read {message!r}")

    with channel_to(address) as channel:
        reader = Reader(channel, fail)
        reader.stream.send(b"one")
        with pytest.raises(RuntimeError, match="cannot read b'one'"):
            reader.status()
        reader.stream.send(b"late")


def test_a_channel_is_ready_once_a_server_listens() -> None:
    [port] = ports.free_ports(1)
    with channel_to(f"127.0.0.1:{port}") as channel:
        assert not channel.wait_ready(0.2)
        with running_server(port):
            assert channel.wait_ready(PATIENCE_S)


def test_a_stream_to_nobody_is_unavailable() -> None:
    with channel_to("127.0.0.1:1") as channel:
        assert Reader(channel).status().code == grpc.StatusCode.UNAVAILABLE


def test_closing_the_channel_ends_a_wait_for_it() -> None:
    ready: list[bool] = []
    with channel_to("127.0.0.1:1") as channel:
        waiter = threading.Thread(target=lambda: ready.append(channel.wait_ready(600)), name="waiter")
        waiter.start()
        channel.close()
        waiter.join(PATIENCE_S)
    assert ready == [False]
