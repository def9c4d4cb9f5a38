"""The front: a gRPC server that serves all its calls from one thread; another one polls the connections."""

import functools
from collections.abc import Mapping

import grpc
from grpc._cython import cygrpc  # type: ignore[attr-defined]

from services.common.lifecycle import VitalThread
from services.common.rpc_operations import Event
from services.common.status import RpcStatus
from services.query.front.call import Call, UnaryCall, UnaryHandler
from services.query.front.clock_watch import ClockWatch
from services.query.front.loop import Loop
from services.query.front.poller import Poller
from services.query.front.stream import StreamCall, StreamHandlerFactory
from services.query.front.turn_watch import TurnWatch

# Calls that arrive while the thread is busy are matched with requests posted ahead. What finds none waits in the core,
# which drops it when the server shuts down, and does not tell since when it waits: this many calls may arrive at once
# and still survive a drain.
_REQUESTS_AHEAD = 4096
# Beyond this many waiting calls the core refuses some on its own. Admission is for the engine to decide, unless calls
# come faster than they can be turned away.
_MAX_WAITING_CALLS = 65_536
# Between this and a hard limit a quarter above it the core refuses calls by chance. Envoy passes on what a REST client
# sends along, and a path that it has rewritten.
_LARGEST_METADATA_BYTES = 32 * 1024
# What is read of a stream before it is asked for: as long as it waits with the client, nobody knows how old it is.
_READ_AHEAD_BYTES = 1 << 20
_UNIMPLEMENTED = RpcStatus(grpc.StatusCode.UNIMPLEMENTED, "Method not found")


class Front:
    """A gRPC server for unary and stream methods whose handlers never block.

    Attributes:
        port: the port that was bound.
    """

    def __init__(
        self,
        loop: Loop,
        address: str,
        unary: Mapping[str, UnaryHandler],
        streams: Mapping[str, StreamHandlerFactory],
        *,
        max_message_bytes: int,
        max_unanswered: int,
        credentials: grpc.ServerCredentials | None = None,
        reuse_port: bool = False,
        max_connection_age_s: float | None = None,
    ) -> None:
        """Bind the address; calls are served from `start` on.

        Args:
            loop: where the calls are served; run by this object alone.
            address: host and port; port 0 has the system choose one.
            unary: handlers by full method name ("/package.Service/Method").
            streams: factories of handlers by full method name; one handler is made for each call.
            max_message_bytes: a larger request fails with RESOURCE_EXHAUSTED.
            max_unanswered: messages of one stream that may wait for an answer before reading pauses.
            credentials: for TLS; none means plain text.
            reuse_port: whether other processes may bind the same port.
            max_connection_age_s: about how long a client may keep a connection before it is asked to make another,
                calls in progress left in peace; for ever if there is none.

        Raises:
            OSError: the address cannot be bound.
        """
        self._loop = loop
        self._unary = {method.encode(): handler for method, handler in unary.items()}
        self._streams = {method.encode(): factory for method, factory in streams.items()}
        self._max_unanswered = max_unanswered
        ageing = (
            () if max_connection_age_s is None else (("grpc.max_connection_age_ms", int(max_connection_age_s * 1e3)),)
        )
        options = (
            *ageing,
            ("grpc.max_receive_message_length", max_message_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.http2.lookahead_bytes", _READ_AHEAD_BYTES),
            ("grpc.max_metadata_size", _LARGEST_METADATA_BYTES),
            ("grpc.so_reuseport", int(reuse_port)),
            # Who shares a connection among many asks for signs of life as often as it needs them.
            ("grpc.http2.max_ping_strikes", 0),
            ("grpc.server.max_pending_requests", _MAX_WAITING_CALLS),
            ("grpc.server.max_pending_requests_hard_limit", _MAX_WAITING_CALLS),
        )
        self._server = cygrpc.Server(options, False)
        self._poller = Poller()
        self._clock_watch = ClockWatch(loop.wall_clock, functools.partial(loop.call_soon, _look_at_the_clock))
        for queue in (loop.queue, self._poller.queue):
            self._server.register_completion_queue(queue)
        self.port = _bind(self._server, address, credentials)
        self._live: set[Call] = set()
        self._draining = False
        self._shut_down = False
        self._thread = VitalThread(target=self._serve, name="front")

    def start(self) -> None:
        """Serve calls on a thread of its own; to be called once."""
        self._server.start(backup_queue=False)
        for _ in range(_REQUESTS_AHEAD):
            self._request_call()
        self._poller.start()
        self._clock_watch.start()
        self._thread.start()

    def drain(self, grace_s: float) -> None:
        """Accept no more calls, let those in progress finish for `grace_s` seconds, then cancel the rest.

        Returns when every call is over and the thread has ended. Safe to repeat, also with a shorter grace, and before
        `start`; not to be called from a handler.
        """
        if self._thread.ident is None:
            return
        self._loop.call_soon(self._begin_drain)
        self._thread.join(grace_s)
        if self._thread.is_alive():
            self._loop.call_soon(self._cancel_calls)
            self._thread.join()

    def _begin_drain(self) -> None:
        if not self._draining:
            self._draining = True
            self._server.shutdown(self._loop.queue, self._on_shutdown)

    def _cancel_calls(self) -> None:
        for call in list(self._live):
            call.receive_close()
        self._server.cancel_all_calls()

    def _request_call(self) -> None:
        if not self._draining:
            self._server.request_call(self._loop.queue, self._loop.queue, self._on_call)

    def _serve(self) -> None:
        turn_watch = TurnWatch(lambda: self._loop.turns)
        turn_watch.start()
        self._loop.run(self._is_over)
        turn_watch.close()
        self._clock_watch.close()
        self._server.destroy()
        self._loop.close()
        self._poller.close()

    def _is_over(self) -> bool:
        # A call that has not ended may still start operations, and on a queue that is shut down those are fatal.
        return self._shut_down and not self._live

    def _on_call(self, accepted: Event) -> None:
        if not accepted.success:
            return
        self._loop.take_waker(accepted.call)
        self._request_call()
        method = accepted.call_details.method
        if handler := self._unary.get(method):
            UnaryCall(accepted, self._live, self._loop).open(handler)
        elif factory := self._streams.get(method):
            StreamCall(accepted, self._live, self._loop, self._max_unanswered).open(factory)
        else:
            UnaryCall(accepted, self._live, self._loop).fail(_UNIMPLEMENTED)

    def _on_shutdown(self, _event: Event) -> None:
        self._shut_down = True


def _look_at_the_clock() -> None:
    """Wakes the loop, which then looks at the clock anyway."""


def _bind(server: cygrpc.Server, address: str, credentials: grpc.ServerCredentials | None) -> int:
    if credentials is None:
        port: int = server.add_http2_port(address.encode())
    else:
        port = server.add_http2_port(address.encode(), credentials._credentials)  # type: ignore[attr-defined]
    if port == 0:
        raise OSError(f"cannot bind {address}")
    return port
