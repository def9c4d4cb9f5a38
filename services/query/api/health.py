"""grpc.health.v1 on the front: whether this process lives (""), whether it serves (the service's name), and its store.

It serves from its first configuration to its drain, but for the times when it is behind: it answers then as well as it
can, by a configuration that may be nobody's any more, and balancers that have another service should ask that. While
its store is refused it serves: who was just started takes what is there, and may have nothing to serve.
"""

import logging
import threading
from collections.abc import Callable

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2

from services.common.errors import InvalidInput
from services.common.lifecycle import VitalThread
from services.common.names import QUERY_SERVICE, STORE
from services.common.status import RpcStatus
from services.query.front import StreamCall, UnaryCall

_LOG = logging.getLogger(__name__)
_LOOK_S = 0.25


class Health:
    """The health of this process. Thread-safe.

    Args:
        is_behind: whether the service's configuration is out of date; asked four times a second, on a thread.
        refuses_store: whether another store is in the place of the service's; asked likewise.
    """

    def __init__(self, is_behind: Callable[[], bool], refuses_store: Callable[[], bool]) -> None:
        self._is_behind = is_behind
        self._refuses_store = refuses_store
        self._ended = threading.Event()
        self._thread = VitalThread(target=self._look, name="health")
        self._lock = threading.Lock()  # guards all that follows
        self._is_open = False
        self._statuses: dict[str, int] = {
            "": health_pb2.HealthCheckResponse.SERVING,
            QUERY_SERVICE: health_pb2.HealthCheckResponse.NOT_SERVING,
            STORE: health_pb2.HealthCheckResponse.NOT_SERVING,
        }
        self._watches: set[_Watch] = set()

    def open(self) -> None:
        """Says that predictions are served, unless the service is behind, from now on."""
        is_behind = self._is_behind()
        with self._lock:
            self._is_open = True
            self._tell(QUERY_SERVICE, not is_behind)
            self._tell(STORE, not self._refuses_store())
        self._thread.start()

    def drain(self) -> None:
        """Says that predictions are served no more; safe to repeat."""
        with self._lock:
            self._is_open = False
            self._tell(QUERY_SERVICE, False)

    def close(self) -> None:
        """Ends the thread, and every Watch call, which would otherwise outlive a drain; safe to repeat."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        with self._lock:
            for watch in self._watches:
                watch.end()
            self._watches.clear()

    def check(self, call: UnaryCall, message: bytes) -> None:
        """Health.Check."""
        status = self._statuses.get(_service(message))
        if status is None:
            call.fail(RpcStatus(grpc.StatusCode.NOT_FOUND, "unknown service"))
        else:
            call.reply(_encode(status))

    def watch(self, call: StreamCall) -> "_Watch":
        """Health.Watch."""
        return _Watch(self, call)

    def subscribe(self, watch: "_Watch") -> None:
        """Tells a watch its status, now and at each change."""
        with self._lock:
            self._watches.add(watch)
            watch.tell(self._status(watch.service))

    def unsubscribe(self, watch: "_Watch") -> None:
        """Tells a watch nothing more."""
        with self._lock:
            self._watches.discard(watch)

    def _look(self) -> None:
        was_behind = False
        while not self._ended.wait(_LOOK_S):
            is_behind = self._is_behind()
            with self._lock:
                if self._is_open:
                    self._tell(QUERY_SERVICE, not is_behind)
                self._tell(STORE, not self._refuses_store())
            if is_behind != was_behind:
                _LOG.warning("the configuration is not followed any more" if is_behind else "it is followed again")
            was_behind = is_behind

    def _tell(self, service: str, is_serving: bool) -> None:
        """Notes whether a service serves, and tells those who watch that of a change."""
        status = health_pb2.HealthCheckResponse.SERVING if is_serving else health_pb2.HealthCheckResponse.NOT_SERVING
        if status != self._statuses[service]:
            self._statuses[service] = status
            for watch in self._watches:
                if watch.service == service:
                    watch.tell(status)

    def _status(self, service: str) -> int:
        return self._statuses.get(service, health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)


class _Watch:
    """One Health.Watch call."""

    def __init__(self, health: Health, call: StreamCall) -> None:
        self.service = ""
        self._health = health
        self._call = call
        call.on_cancel = lambda: health.unsubscribe(self)

    def on_message(self, message: bytes) -> None:
        self.service = _service(message)
        self._health.subscribe(self)

    def on_half_close(self) -> None:
        """The client goes on reading."""

    def tell(self, status: int) -> None:
        self._call.send(_encode(status))

    def end(self) -> None:
        self._call.finish()


def _service(message: bytes) -> str:
    try:
        return health_pb2.HealthCheckRequest.FromString(message).service
    except DecodeError:
        raise InvalidInput("The request is not a grpc.health.v1.HealthCheckRequest") from None


def _encode(status: int) -> bytes:
    return health_pb2.HealthCheckResponse(status=status).SerializeToString()
