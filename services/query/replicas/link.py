"""Links: one stream to each live replica, opened when its lease is seen and again whenever it breaks.

A link has a thread of its own that dials, checks the container's health, and then reads answers until the stream ends.
Everything it learns it tells the driver, so a killed replica is out of rotation as soon as its connection is reset.
"""

import contextlib
import logging
import threading

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.common.errors import InvalidInput
from services.common.lifecycle import VitalThread
from services.common.limits import LARGEST_BATCH_ANSWER_BYTES
from services.common.names import MODEL_CONTAINER_SERVICE
from services.query.api import protobuf
from services.query.driver import Driver
from services.query.engine.versions import Batch, Replica
from services.query.replicas.stream_client import ClientStream, StreamChannel

_LOG = logging.getLogger(__name__)
_METHOD = f"/{MODEL_CONTAINER_SERVICE}/PredictBatch"
_DIAL_TIMEOUT_S = 2.0
_FIRST_BACK_OFF_S = 0.05
_LONGEST_BACK_OFF_S = 1.0
_KEEPALIVE_S = 10.0
# Whatever proxy the environment names, replicas are not behind it.
_DIRECTLY = (("grpc.enable_http_proxy", 0),)


class ReplicaLink:
    """The connection to one replica, for as long as the replica holds its lease."""

    def __init__(self, driver: Driver, replica: Replica) -> None:
        """Starts dialling."""
        self._driver = driver
        self._replica = replica
        self._address = replica.record.address
        self._lock = threading.Lock()
        self._released = threading.Event()
        self._stream: ClientStream | None = None
        self._thread = VitalThread(target=self._run, name=f"link {replica.record.key}")
        self._thread.start()

    def send(self, batch: Batch) -> None:
        """Starts a batch on its way; one that meets a broken stream is retried when the driver hears of the break."""
        stream = self._stream
        if stream is not None:
            stream.send(protobuf.batch_request(batch))

    def release(self) -> None:
        """Half-closes the stream and dials no more; safe to repeat."""
        with self._lock:
            self._released.set()
            if self._stream is not None:
                self._stream.half_close()

    def close(self) -> None:
        """Breaks the connection and waits for the thread; safe to repeat."""
        self.release()
        with self._lock:
            if self._stream is not None:
                self._stream.cancel()
        self._thread.join()

    def _run(self) -> None:
        back_off_s = _FIRST_BACK_OFF_S
        while not self._released.is_set():
            if self._serve():
                back_off_s = _FIRST_BACK_OFF_S
            self._driver.post(self._lost)
            self._released.wait(back_off_s)
            back_off_s = min(_LONGEST_BACK_OFF_S, 2 * back_off_s)

    def _serve(self) -> bool:
        """Dials and reads until the stream ends; returns whether it was ever open."""
        try:
            with contextlib.closing(self._channel()) as channel:
                return self._serve_on(channel)
        # The driver has to hear of the end, whatever it was: until then the replica counts as on its way.
        except BaseException:
            _LOG.exception("the link to replica %s broke", self._replica.record.key)
            return False
        finally:
            with self._lock:
                self._stream = None

    def _serve_on(self, channel: StreamChannel) -> bool:
        if not channel.wait_ready(_DIAL_TIMEOUT_S) or not self._is_serving():
            return False
        with self._lock:
            if self._released.is_set():
                return False
            self._stream = channel.open(_METHOD, self._receive)
        self._driver.post(self._ready)
        status = self._stream.run()
        _LOG.info("stream ended", extra={"replica": self._replica.record.key, "status": str(status.code)})
        return True

    def _channel(self) -> StreamChannel:
        return StreamChannel(self._address, max_message_bytes=LARGEST_BATCH_ANSWER_BYTES, keepalive_s=_KEEPALIVE_S)

    def _is_serving(self) -> bool:
        with grpc.insecure_channel(self._address, _DIRECTLY) as channel:
            request = health_pb2.HealthCheckRequest(service=MODEL_CONTAINER_SERVICE)
            try:
                stub = health_pb2_grpc.HealthStub(channel)
                health = stub.Check(request, timeout=_DIAL_TIMEOUT_S, wait_for_ready=True)  # type: ignore[attr-defined]
            except grpc.RpcError:
                return False
        return bool(health.status == health_pb2.HealthCheckResponse.SERVING)

    def _receive(self, message: bytes) -> None:
        self._driver.post(lambda: self._answered(message))

    def _ready(self) -> None:
        self._driver.replica_ready(self._replica)

    def _lost(self) -> None:
        self._driver.replica_lost(self._replica)

    def _answered(self, message: bytes) -> None:
        try:
            self._driver.batch_answered(self._replica, *protobuf.batch_response(message))
        except InvalidInput:
            # What it still owes would never be answered; with the stream broken it is tried elsewhere.
            _LOG.warning("replica %s breaks the contract", self._replica.record.key, exc_info=True)
            stream = self._stream
            if stream is not None:
                stream.cancel()
