"""grpc.health.v1 of a model container.

Like grpcio's own, with one difference: nothing is told while a lock is held. What ends a Watch call comes on the thread
that does the I/O of all calls; where it waits for a lock that is held by somebody who waits for I/O, the container
answers nobody any more, ever.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

_Response = health_pb2.HealthCheckResponse
_Send = Callable[[health_pb2.HealthCheckResponse], None]


class Health(health_pb2_grpc.HealthServicer):
    """The health of this process (""), which serves until it is drained, and of what was set. Thread-safe.

    Args:
        threads: tell watching clients of changes, for as long as those take to listen.
    """

    def __init__(self, threads: Executor) -> None:
        self._threads = threads
        self._lock = threading.Lock()  # guards all that follows
        self._statuses: dict[str, int] = {"": _Response.SERVING}
        self._watches: set[_Watch] = set()

    def serve(self, service: str) -> None:
        """Says from now on that a service serves."""
        with self._lock:
            self._statuses[service] = _Response.SERVING
            watches = list(self._watches)
        self._tell(watches)

    def drain(self) -> None:
        """Says that nothing serves, for good; safe to repeat."""
        with self._lock:
            self._statuses = dict.fromkeys(self._statuses, _Response.NOT_SERVING)
            watches = list(self._watches)
        self._tell(watches)

    def Check(self, request: health_pb2.HealthCheckRequest, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Health.Check."""
        status = self._statuses.get(request.service)
        if status is None:
            context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return _Response(status=status)

    def Watch(  # type: ignore[override]  # noqa: N802
        self, request: health_pb2.HealthCheckRequest, context: grpc.ServicerContext, send_response_callback: _Send
    ) -> None:
        """Health.Watch, which goes on when this has returned."""
        watch = _Watch(lambda: self._status(request.service), send_response_callback)
        with self._lock:
            self._watches.add(watch)
        if context.add_callback(lambda: self._forget(watch)):
            watch.tell()
        else:
            self._forget(watch)

    # What tells grpcio that Watch takes a callback, and holds no thread.
    Watch.experimental_non_blocking = True  # type: ignore[attr-defined]
    Watch.experimental_thread_pool = None  # type: ignore[attr-defined]

    def _status(self, service: str) -> int:
        return self._statuses.get(service, _Response.SERVICE_UNKNOWN)

    def _forget(self, watch: "_Watch") -> None:
        with self._lock:
            self._watches.discard(watch)

    def _tell(self, watches: "list[_Watch]") -> None:
        for watch in watches:
            self._threads.submit(watch.tell)


class _Watch:
    """One Watch call, which is told a status when that is another than the one before."""

    def __init__(self, status: Callable[[], int], send: _Send) -> None:
        self._status = status
        self._send = send
        self._lock = threading.Lock()  # guards all that follows
        self._told: int | None = None
        self._is_telling = False

    def tell(self) -> None:
        """Tells the status of now, unless it is being told something: then it is told this afterwards."""
        while (status := self._news()) is not None:
            self._send(_Response(status=status))
            with self._lock:
                self._is_telling = False

    def _news(self) -> int | None:
        """What it is to be told now, by who calls this."""
        with self._lock:
            status = self._status()
            if self._is_telling or status == self._told:
                return None
            self._is_telling, self._told = True, status
            return status
