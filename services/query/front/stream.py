"""A stream call: any number of messages both ways, in order, with back-pressure.

The next message is received only when the handler has returned from the last one and fewer than a limit of messages
wait for an answer. A message counts as answered when one that the handler sent has left for the client, so a client
that sends without reading stops itself and neither side of a stream grows without bound. A handler therefore sends at
least one message for each it receives; server streaming, where one message is answered by many, needs no more.
"""

import logging
from collections import deque
from collections.abc import Callable
from threading import Lock
from typing import Protocol, TypeAlias

from services.common import rpc_operations as operations
from services.common.rpc_operations import Event, Operation
from services.common.status import OK, RpcStatus, from_exception
from services.query.front.call import Call
from services.query.front.loop import Loop

_LOG = logging.getLogger(__name__)
# Where messages may have come so long ago, a closer look is taken as often.
_STALE_S = 0.002


class StreamHandler(Protocol):
    """Serves one stream call, on the front's thread; it must not block. What it raises becomes the status."""

    def on_message(self, message: bytes) -> None:
        """The client sent a message."""

    def on_half_close(self) -> None:
        """The client will send no more; the handler finishes the call when it has sent what it owes.

        A client that cancels may look like this at first; `on_cancel` follows then, if the call is not finished.
        """


StreamHandlerFactory: TypeAlias = Callable[["StreamCall"], StreamHandler]


class StreamCall(Call):
    """A call with any number of messages both ways."""

    __slots__ = (
        "_handler",
        "_initial_metadata",
        "_lock",
        "_marked_s",
        "_max_unanswered",
        "_outbox",
        "_over",
        "_paused",
        "_receiving",
        "_sending",
        "_status",
        "_unanswered",
    )

    def __init__(self, accepted: Event, live: set[Call], loop: Loop, max_unanswered: int) -> None:
        super().__init__(accepted, live, loop)
        self._max_unanswered = max_unanswered
        self._handler: StreamHandler | None = None
        self._lock = Lock()  # guards all that follows
        self._initial_metadata: tuple[Operation, ...] = (operations.SEND_INITIAL_METADATA,)
        self._outbox: deque[bytes] = deque()
        self._status: Operation | None = None
        self._unanswered = 0
        self._sending = False
        self._receiving = False
        self._paused = False
        self._marked_s = 0.0
        self._over = False

    def open(self, factory: StreamHandlerFactory) -> None:
        """Make the handler and receive the first message."""
        self.receive_close()
        try:
            self._handler = factory(self)
        except BaseException as error:
            self.finish(from_exception(error))
            return
        with self._lock:
            self._receive()

    def send(self, message: bytes) -> None:
        """Send a message after those sent before; harmless on a call that has ended."""
        with self._lock:
            if not self._over and not self._answered.locked():
                self._outbox.append(message)
                self._flush()

    def finish(self, status: RpcStatus = OK) -> None:
        """End the call after what was sent; harmless on a call that has ended."""
        operation = operations.send_status(status)
        with self._lock:
            if self._answered.acquire(blocking=False) and not self._over:
                self._status = operation
                self._flush()

    def _flush(self) -> None:
        # The core takes one message of a call at a time.
        if self._sending or self._over:
            return
        if self._outbox:
            message = self._outbox.popleft()
            # Messages that follow each other are put together, for which the core takes a system call less each.
            self._start_sending(operations.send_message(message, more_follows=bool(self._outbox)))
        elif self._status is not None:
            status, self._status = self._status, None
            self._start_sending(status)

    def _start_sending(self, operation: Operation) -> None:
        batch = (*self._initial_metadata, operation)
        self._initial_metadata = ()
        self._sending = True
        try:
            operations.start(self._rpc, batch, self._on_sent)
        except (TypeError, ValueError):
            _LOG.exception("a stream call to %s is broken off", self.method)
            operations.break_off(self._rpc)

    def _receive(self) -> None:
        if self._receiving or self._over or self._answered.locked():
            return
        if self._unanswered >= self._max_unanswered:
            self._paused = True
            return
        self._receiving = True
        self._unanswered += 1
        self._receive_message(self._on_received)
        if self._paused:
            # What the client sent meanwhile had to wait for its own sake.
            self._paused = False
            self.received_s = self._receives_since_s
        elif self._receives_since_s - max(self.received_s, self._marked_s) > _STALE_S:
            self._marked_s = self._receives_since_s
            self._loop.mark()

    def _on_sent(self, _event: Event) -> None:
        with self._lock:
            self._sending = False
            self._unanswered -= 1
            self._flush()
            self._receive()

    def _on_received(self, event: Event) -> None:
        handler = self._handler
        if handler is None or not event.success:
            return
        message = operations.received(event)
        self._message_received()
        try:
            if message is None:
                handler.on_half_close()
                return
            handler.on_message(message)
        except BaseException as error:
            self.finish(from_exception(error))
        with self._lock:
            self._receiving = False
            self._receive()

    def _on_close(self, _event: Event) -> None:
        with self._lock:
            self._over = True
            self._outbox.clear()
        if self._answered.acquire(blocking=False):
            self._cancelled()
        self._handler = None
        self._on_cancel = None
        self._live.discard(self)
