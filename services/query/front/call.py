"""A call: one RPC in progress, from its acceptance to the last event that the core owes for it.

A handler may answer from any thread while the client may vanish at any time. What may happen once is a lock that is
taken once and never released: exactly one taker wins, the others find nothing left to do, and nobody waits.
"""

import logging
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from threading import Lock
from typing import Protocol

import grpc

from services.common import rpc_operations as operations
from services.common.rpc_operations import Event, Operation, Tag
from services.common.status import RpcStatus, from_exception
from services.query.front.loop import Loop

_LOG = logging.getLogger(__name__)
_NO_DEADLINE_S = 1e9
_NO_REQUEST = RpcStatus(grpc.StatusCode.INVALID_ARGUMENT, "The call carries no request message")


class Call(ABC):
    """One RPC in progress. Methods may be called from any thread.

    Attributes:
        metadata: what the client sent along, as pairs of key and value.
        ends_s: until when the client waits, on time.monotonic()'s clock; infinity when it set no deadline.
        received_s: when the newest request message came, on the same clock. It cannot have come earlier; on a loop that
            keeps up it came within the last turn.
    """

    __slots__ = (
        "_answered",
        "_details",
        "_live",
        "_loop",
        "_on_cancel",
        "_receives_since_s",
        "_rpc",
        "_watched",
        "ends_s",
        "metadata",
        "received_s",
    )

    def __init__(self, accepted: Event, live: set["Call"], loop: Loop) -> None:
        self.metadata: tuple[tuple[str, str | bytes], ...] = accepted.invocation_metadata
        self.received_s = loop.caught_up_s
        self._receives_since_s = 0.0
        self._rpc = accepted.call
        self._details = accepted.call_details
        self._loop = loop
        # The core tells a time of the wall clock, which may be set while the call lasts.
        remaining_s: float = accepted.call_details.deadline - loop.wall_clock()
        self.ends_s = math.inf if remaining_s > _NO_DEADLINE_S else time.monotonic() + remaining_s
        self._answered = Lock()
        self._watched = Lock()
        self._on_cancel: Callable[[], None] | None = None
        # The front ends when no call is left that may still start operations.
        self._live = live
        live.add(self)

    @property
    def method(self) -> str:
        """The full name of the method, as in "/clipper.v1.QueryService/Predict"."""
        name: bytes = self._details.method
        return name.decode()

    def watch(self, on_cancel: Callable[[], None]) -> None:
        """Has `on_cancel` called once, on the front's thread, if the client is gone before the answer.

        It is gone when it cancels, when its deadline passes and when its connection breaks. To be called on the front's
        thread. A unary call pays one more completion event for it, a quarter of its price, so a call that is answered
        soon does without.
        """
        if not self._answered.locked():
            self._on_cancel = on_cancel
            self.receive_close()

    def receive_close(self) -> None:
        """Has the core tell when the call is over for the client, unless it was asked already."""
        if self._watched.acquire(blocking=False):
            operations.start(self._rpc, (operations.receive_close(),), self._on_close)

    def _receive_message(self, tag: Tag) -> None:
        """Has the core receive the next message; its event brings `tag`."""
        self._receives_since_s = time.monotonic()
        operations.start(self._rpc, (operations.receive_message(),), tag)

    def _message_received(self) -> None:
        """Finds out when the message came. One that was there already may have come right after the one before it."""
        caught_up_s = self._loop.caught_up_s
        if caught_up_s > self._receives_since_s:
            self.received_s = caught_up_s

    @abstractmethod
    def _on_close(self, event: Event) -> None:
        """The call is over for the client, answered or not."""

    def _cancelled(self) -> None:
        callback, self._on_cancel = self._on_cancel, None
        if callback is not None:
            try:
                callback()
            except BaseException:
                _LOG.exception("the on_cancel of a call to %s failed", self.method)


class UnaryHandler(Protocol):
    """Serves a unary method."""

    def __call__(self, call: "UnaryCall", request: bytes, /) -> None:
        """Reply to the call or fail it, now or later; what this raises becomes the status.

        Runs on the front's thread and must not block.
        """


class UnaryCall(Call):
    """A call with one request and one reply."""

    __slots__ = ("_handler",)

    _handler: UnaryHandler

    def open(self, handler: UnaryHandler) -> None:
        """Receive the request and pass it to the handler."""
        self._handler = handler
        self._receive_message(self._on_request)

    def reply(self, message: bytes, beginning: Operation = operations.SEND_INITIAL_METADATA) -> None:
        """Answer with a message and OK; harmless on a call that has ended.

        Args:
            message: the answer.
            beginning: of operations.send_initial_metadata, for what has metadata.
        """
        send_message = operations.send_message(message)
        if self._answered.acquire(blocking=False):
            self._end(beginning, send_message, operations.SEND_OK)

    def fail(self, status: RpcStatus) -> None:
        """Answer with a status that is not OK; harmless on a call that has ended."""
        if self._answered.acquire(blocking=False):
            self._end(operations.SEND_INITIAL_METADATA, operations.send_status(status))

    def _end(self, *answer: Operation) -> None:
        # The core is asked for the close once in a call's life: a call that nobody watches asks along with its answer.
        close = (operations.receive_close(),) if self._watched.acquire(blocking=False) else ()
        try:
            operations.start(self._rpc, (*answer, *close), self._on_answered)
        except (TypeError, ValueError) as error:
            failure = operations.send_status(from_exception(error))
            operations.start(self._rpc, (operations.SEND_INITIAL_METADATA, failure, *close), self._on_answered)

    def _on_request(self, event: Event) -> None:
        request = operations.received(event)
        if request is None:
            self.fail(_NO_REQUEST)
            return
        self._message_received()
        try:
            self._handler(self, request)
        except BaseException as error:
            self.fail(from_exception(error))

    def _on_close(self, _event: Event) -> None:
        if self._answered.acquire(blocking=False):
            self._live.discard(self)
            self._cancelled()

    def _on_answered(self, _event: Event) -> None:
        self._on_cancel = None
        self._live.discard(self)
        # The core's memory for the call is not to wait for whoever still holds this object.
        self._rpc = None
