"""The streams of batches: all are served by one thread, which takes their events and computes the answers itself.

grpcio's server hands every message over from its thread to the handler's, once as it has come and once as its answer
has left. Here the thread that computes polls one completion queue for all streams, and an answer and the wait for the
next batch are one event: a quarter to a third less processor time for a small batch
(docs/decisions/0014-batch-streams.md). Events come in turn, so that streams take turns, too. While the thread computes,
the server's own thread reads what arrives. All other methods of the server are grpcio's.

Like `services/query/front/`, whose docstring has the pinned range of grpcio, this module touches grpcio's internals;
tests/integration/test_model_container.py is the contract.
"""

import logging
import threading
from collections.abc import Callable

import grpc
from grpc._cython import cygrpc  # type: ignore[attr-defined]

from services.common import rpc_operations as operations
from services.common.rpc_operations import Event, Rpc
from services.common.status import OK, RpcStatus, from_exception

_LOG = logging.getLogger(__name__)
_REFUSED = RpcStatus(grpc.StatusCode.RESOURCE_EXHAUSTED, "The container serves as many streams as it can")
# The server deals its connections out to its other queue, which its own thread polls: this one's is busy for as long as
# a model takes.
_NON_LISTENING = True


class BatchStreams:
    """Serves one method of a server, in which each message is answered by one.

    All but `wait_until_idle` belongs to the thread that calls `run`, once `start` was called.

    Args:
        server: neither started nor serving that method.
        method: its full name, as in "/clipper.v1.ModelContainerService/PredictBatch".
        answer: answers a message; what it raises ends the stream.
        most: so many streams are served at a time, others refused.
    """

    def __init__(self, server: grpc.Server, method: str, answer: Callable[[bytes], bytes], most: int) -> None:
        self._server = server._state.server  # type: ignore[attr-defined]
        self._queue = cygrpc.CompletionQueue(_NON_LISTENING)
        self._server.register_method(method)
        self._server.register_completion_queue(self._queue)
        self._method = method
        self._answer = answer
        self._most = most
        self._accepting = False
        self._open: set[_Stream] = set()
        self._changed = threading.Condition()

    def start(self) -> None:
        """Accepts streams from now on; the server must have been started."""
        try:
            self._server.request_registered_call(self._queue, self._queue, self._method, self._accept)
        except ValueError:
            self._accepting = False  # the server is shutting down
        else:
            self._accepting = True

    def run(self) -> None:
        """Serves on the calling thread, until the server has been stopped and every stream has ended."""
        while self._accepting or self._open:
            try:
                self._take_event()
            # A handler of signals that a model has left behind may raise anywhere, and an event be lost by that.
            except BaseException:
                _LOG.exception("the streams are broken off, for clients to open them again")
                self._break_off()
        self._queue.shutdown()
        while self._queue.poll().completion_type != cygrpc.CompletionType.queue_shutdown:
            pass

    def wait_until_idle(self, timeout_s: float) -> bool:
        """Whether every stream ended within the time; for any thread."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._open, timeout_s)

    def _take_event(self) -> None:
        event = self._queue.poll()
        event.tag(event)

    def _accept(self, event: Event) -> None:
        if not event.success:
            self._accepting = False
            return
        self.start()
        stream = _Stream(event.call, self._answer, self._forget)
        with self._changed:
            self._open.add(stream)
        if len(self._open) > self._most:
            stream.refuse()
        else:
            stream.open()

    def _forget(self, stream: "_Stream") -> None:
        with self._changed:
            self._open.discard(stream)
            self._changed.notify_all()

    def _break_off(self) -> None:
        for stream in list(self._open):
            stream.break_off()
            self._forget(stream)
        if self._accepting:
            self.start()


class _Stream:
    """One call."""

    def __init__(self, rpc: Rpc, answer: Callable[[bytes], bytes], on_end: Callable[["_Stream"], None]) -> None:
        self._rpc = rpc
        self._answer = answer
        self._report_end = on_end
        self._is_broken = False

    def open(self) -> None:
        """Answers messages until the client sends no more, is gone, or an answer fails."""
        operations.start(self._rpc, (operations.SEND_INITIAL_METADATA, operations.receive_message()), self._on_message)

    def refuse(self) -> None:
        """Ends the call before anything was received."""
        ending = operations.SEND_INITIAL_METADATA, operations.send_status(_REFUSED), operations.receive_close()
        operations.start(self._rpc, ending, self._on_end)

    def break_off(self) -> None:
        """Ends the call without any further event being waited for."""
        self._is_broken = True
        operations.break_off(self._rpc)

    def _on_message(self, event: Event) -> None:
        if self._is_broken:
            return
        # There is none when no message comes any more.
        message = event.batch_operations[-1].message()
        if message is None:
            self._end(OK)
            return
        try:
            answer = operations.send_message(self._answer(message))
        # A stream without its status would leave the client waiting for ever.
        except BaseException as error:
            self._end(from_exception(error))
        else:
            operations.start(self._rpc, (answer, operations.receive_message()), self._on_message)

    def _end(self, status: RpcStatus) -> None:
        # Without effect if the client is gone.
        operations.start(self._rpc, (operations.send_status(status), operations.receive_close()), self._on_end)

    def _on_end(self, _event: Event) -> None:
        self._report_end(self)
