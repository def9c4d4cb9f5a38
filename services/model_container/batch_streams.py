"""The streams of batches: each is served by a thread of its own, on a completion queue of its own.

grpcio's server hands every message over from its thread to the handler's, once as it has come and once as its answer
has left. Here the thread that computes takes its stream's events itself, and an answer and the wait for the next batch
are one event: a quarter to a third less processor time for a small batch (docs/decisions/0014-batch-streams.md). All
other methods of the server are grpcio's.

Like `services/query/front/`, whose docstring has the pinned range of grpcio, this module touches grpcio's internals;
tests/integration/test_model_container.py is the contract.
"""

import functools
import threading
from collections.abc import Callable

import grpc
from grpc._cython import cygrpc  # type: ignore[attr-defined]

from services.common import rpc_operations as operations
from services.common.rpc_operations import Event, Operation, Rpc
from services.common.status import OK, RpcStatus, from_exception

_REFUSED = RpcStatus(grpc.StatusCode.RESOURCE_EXHAUSTED, "The container serves as many streams as it can")


class BatchStreams:
    """Serves one method of a server, in which each message is answered by one.

    Args:
        server: neither started nor serving that method.
        method: its full name, as in "/clipper.v1.ModelContainerService/PredictBatch".
        answer: answers a message; what it raises ends the stream.
        most: so many streams are served at a time, others refused.
    """

    def __init__(self, server: grpc.Server, method: str, answer: Callable[[bytes], bytes], most: int) -> None:
        self._state = server._state  # type: ignore[attr-defined]
        self._state.server.register_method(method)
        self._method = method
        self._answer = answer
        self._most = most
        self._open = 0
        self._changed = threading.Condition()

    def start(self) -> None:
        """Takes streams from now on; the server must have been started."""
        queue = cygrpc.CompletionQueue()
        # The server's own thread takes the event of a new call, and calls its tag.
        accepted = functools.partial(self._accept, queue)
        try:
            self._state.server.request_registered_call(queue, self._state.completion_queue, self._method, accepted)
        except ValueError:
            return  # the server is shutting down

    def wait_until_idle(self, timeout_s: float) -> bool:
        """Whether every stream ended within the time."""
        with self._changed:
            return self._changed.wait_for(lambda: self._open == 0, timeout_s)

    def _accept(self, queue: cygrpc.CompletionQueue, event: Event) -> tuple[None, tuple[()]]:
        if event.success:
            self.start()
            stream = _Stream(event.call, queue)
            is_one_too_many = self._count(1) > self._most
            serve = stream.refuse if is_one_too_many else functools.partial(stream.run, self._answer)
            threading.Thread(target=self._run, args=(serve,), name="batch stream", daemon=True).start()
        # What grpcio is to know of the call, and to do once that is over.
        return None, ()

    def _run(self, serve: Callable[[], None]) -> None:
        try:
            serve()
        finally:
            self._count(-1)

    def _count(self, difference: int) -> int:
        with self._changed:
            self._open += difference
            self._changed.notify_all()
            return self._open


class _Stream:
    """One call; its methods are for the thread that serves it."""

    def __init__(self, rpc: Rpc, queue: cygrpc.CompletionQueue) -> None:
        self._rpc = rpc
        self._queue = queue

    def run(self, answer: Callable[[bytes], bytes]) -> None:
        """Answers messages until the client sends no more, is gone, or an answer fails."""
        status = OK
        try:
            message = self._receive(operations.SEND_INITIAL_METADATA)
            while message is not None:
                message = self._receive(operations.send_message(answer(message)))
        # A thread that ended without the status would leave the client waiting for ever.
        except BaseException as error:
            status = from_exception(error)
        # Without effect if the client is gone.
        self._exchange(operations.send_status(status), operations.receive_close())

    def refuse(self) -> None:
        """Ends the call before anything was received."""
        self._exchange(operations.SEND_INITIAL_METADATA, operations.send_status(_REFUSED), operations.receive_close())

    def _receive(self, sent: Operation) -> bytes | None:
        """The next message, and `sent` is on its way; None when no message comes any more."""
        message: bytes | None = self._exchange(sent, operations.receive_message()).batch_operations[-1].message()
        return message

    def _exchange(self, *batch: Operation) -> Event:
        # The event needs no tag, as there is one at a time.
        operations.start(self._rpc, batch, None)
        return self._queue.poll()
