"""A bidirectional stream as its client, read by a thread of the caller's own.

Every replica has one such stream (design D3) and one thread that reads it. grpcio's public channel hands each message
over twice between threads; a segregated call of the completion queue underneath has the reading thread take its events
itself. As long as messages do not overlap, each is started together with the wait for its answer, and both are one
event: a batch costs the reading thread one wake-up, for which it has to wrest the interpreter from the front's.

Like `services/query/front/`, whose docstring has the pinned range of grpcio, this module touches grpcio's internals;
tests/integration/test_stream_client.py is the contract.

A killed peer is noticed at once, by the connection's reset. One that is silent is noticed by the keepalive: it has to
allow pings as frequent as that (`grpc.http2.min_ping_interval_without_data_ms` on grpcio servers), or it will refuse
the connection for them.
"""

import time
from collections import deque
from collections.abc import Callable
from threading import Lock
from typing import Any

import grpc
from grpc._cython import cygrpc  # type: ignore[attr-defined]

from services.common.status import RpcStatus

_NO_FLAGS = 0
_CODES = {code.value[0]: code for code in grpc.StatusCode}
# The next message can start only when an event is complete, so an answer that is waited for together with its message
# holds up the next one. Once that has happened, so many messages without overlap have to come before it may again.
_APART = 16
# How long a blocked wait for the connection may hold up `close`.
_WAIT_SLICE_S = 0.1


class StreamChannel:
    """A connection of its own to one address, for streams.

    Args:
        address: host and port.
        max_message_bytes: a stream that receives a larger message breaks with RESOURCE_EXHAUSTED.
        keepalive_s: a silent peer is asked for a sign of life this often, and given as long to answer.
    """

    def __init__(self, address: str, *, max_message_bytes: int, keepalive_s: float) -> None:
        keepalive_ms = int(keepalive_s * 1000)
        options = (
            ("grpc.max_receive_message_length", max_message_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.keepalive_time_ms", keepalive_ms),
            ("grpc.keepalive_timeout_ms", keepalive_ms),
            # A ping that was held back, as the core does within a second of another, has a limit of its own.
            ("grpc.http2.ping_timeout_ms", keepalive_ms),
            ("grpc.http2.max_pings_without_data", 0),
            # A replica that is back on an address must not wait out the back-off of its predecessor.
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1000),
            ("grpc.enable_http_proxy", 0),
        )
        self._channel = cygrpc.Channel(address.encode(), options, None)

    def wait_ready(self, timeout_s: float) -> bool:
        """Connect; False when that takes longer or the channel is closed meanwhile."""
        deadline_s = time.monotonic() + timeout_s
        try:
            state = self._channel.check_connectivity_state(True)
            while state != cygrpc.ConnectivityState.ready:
                remaining_s = deadline_s - time.monotonic()
                if remaining_s <= 0:
                    return False
                self._channel.watch_connectivity_state(state, time.time() + min(remaining_s, _WAIT_SLICE_S))
                state = self._channel.check_connectivity_state(True)
        except ValueError:
            return False
        return True

    def open(self, method: str, on_message: Callable[[bytes], None]) -> "ClientStream":
        """Open a stream, connecting if need be; its `run` is to be called then. ValueError on a closed channel."""
        return ClientStream(self._channel, method, on_message)

    def close(self) -> None:
        """Cancel the streams and disconnect; safe to repeat."""
        self._channel.close(cygrpc.StatusCode.cancelled, "The channel is closed")


class ClientStream:
    """One bidirectional stream whose server answers each message with one.

    `run` belongs to one thread; the other methods may be called from any.
    """

    def __init__(self, channel: Any, method: str, on_message: Callable[[bytes], None]) -> None:
        self._on_message = on_message
        self._status = RpcStatus(grpc.StatusCode.UNKNOWN)
        self._lock = Lock()  # guards all that follows
        self._outbox: deque[Any] = deque()
        self._unanswered = 0
        self._apart = 0
        self._sending = False
        self._receiving = False
        self._closed = False
        self._due = 1
        life = (
            cygrpc.SendInitialMetadataOperation(None, _NO_FLAGS),
            cygrpc.ReceiveInitialMetadataOperation(_NO_FLAGS),
            cygrpc.ReceiveStatusOnClientOperation(_NO_FLAGS),
        )
        self._call = channel.segregated_call(
            _NO_FLAGS, method.encode(), None, None, None, None, ((life, self._on_ended),)
        )

    def send(self, message: bytes) -> None:
        """Send a message after those sent before; harmless when the stream has ended or is half-closed."""
        with self._lock:
            if not self._closed:
                self._apart = _APART if self._unanswered else max(0, self._apart - 1)
                self._unanswered += 1
                self._outbox.append(cygrpc.SendMessageOperation(message, _NO_FLAGS))
                self._proceed()

    def half_close(self) -> None:
        """Tell the server, after what was sent, that no more will come; the server then ends the stream."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._outbox.append(cygrpc.SendCloseFromClientOperation(_NO_FLAGS))
                self._proceed()

    def cancel(self) -> None:
        """Break the stream off; harmless when it has ended."""
        self._call.cancel(cygrpc.StatusCode.cancelled, "Cancelled by the client")

    def run(self) -> RpcStatus:
        """Read until the stream ends, passing every message to `on_message` in this thread; the status it ended with.

        What `on_message` raises cancels the stream and comes out here. Not for the main thread, whose signal handlers
        could interrupt the queue.
        """
        while self._due:
            event = self._next_event()
            try:
                event.tag(event)
            except BaseException:
                self.cancel()
                while self._due:
                    self._next_event()
                raise
        return self._status

    def _next_event(self) -> Any:
        event = self._call.next_event()
        with self._lock:
            self._due -= 1
        return event

    def _start(self, operations: tuple[Any, ...], tag: Callable[[Any], None]) -> None:
        # grpcio frees the queue with the last event that is due, and starts nothing after that.
        self._due += self._call.operate(operations, tag)

    def _proceed(self) -> None:
        # The core takes one message of a stream at a time, and waits for one.
        sends = () if self._sending or not self._outbox else (self._outbox.popleft(),)
        receives = () if self._receiving or not self._unanswered else (cygrpc.ReceiveMessageOperation(_NO_FLAGS),)
        self._sending = self._sending or bool(sends)
        self._receiving = self._receiving or bool(receives)
        if sends and receives and not self._apart:
            self._start(sends + receives, self._on_exchanged)
            return
        if sends:
            self._start(sends, self._on_sent)
        if receives:
            self._start(receives, self._on_received)

    def _on_sent(self, _event: Any) -> None:
        with self._lock:
            self._sending = False
            self._proceed()

    def _on_exchanged(self, event: Any) -> None:
        with self._lock:
            self._sending = False
        self._on_received(event)

    def _on_received(self, event: Any) -> None:
        message = event.batch_operations[-1].message()
        # There is none when the stream is about to end.
        if message is not None:
            with self._lock:
                self._receiving = False
                self._unanswered -= 1
                self._proceed()
            self._on_message(message)

    def _on_ended(self, event: Any) -> None:
        end = event.batch_operations[2]
        code = _CODES.get(end.code(), grpc.StatusCode.UNKNOWN)
        self._status = RpcStatus(code, end.details(), end.trailing_metadata())
        with self._lock:
            self._closed = True
            self._outbox.clear()
