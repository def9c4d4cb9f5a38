"""grpc.health.v1 on the front: whether this process lives (""), and whether it serves (the service's name)."""

import threading

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2

from services.common.errors import InvalidInput
from services.common.names import QUERY_SERVICE
from services.common.status import RpcStatus
from services.query.front import StreamCall, UnaryCall


class Health:
    """The health of this process. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._statuses: dict[str, int] = {
            "": health_pb2.HealthCheckResponse.SERVING,
            QUERY_SERVICE: health_pb2.HealthCheckResponse.NOT_SERVING,
        }
        self._watches: set[_Watch] = set()

    def set_serving(self, serving: bool) -> None:
        """Says whether predictions are served; those who watch that are told."""
        with self._lock:
            self._statuses[QUERY_SERVICE] = (
                health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
            )
            for watch in self._watches:
                if watch.service == QUERY_SERVICE:
                    watch.tell(self._status(watch.service))

    def end_watches(self) -> None:
        """Ends every Watch call, which would otherwise outlive a drain."""
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
