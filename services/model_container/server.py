"""The composition root: a model behind its gRPC server, with health, reflection and its lease."""

import time
from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_health.v1 import health as grpc_health
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.common.errors import InvalidInput
from services.common.limits import LARGEST_BATCH_ANSWER_BYTES
from services.common.names import MODEL_CONTAINER_SERVICE, InputType, parse_input_type
from services.model_container.batch_streams import BatchStreams
from services.model_container.health import Health
from services.model_container.interceptor import UnreadableInterceptor
from services.model_container.lease import ReplicaLease
from services.model_container.servicer import Servicer
from services.model_container.settings import Settings
from services.model_runtime.prediction import Calling

# Query services that wait for one model at a time; one stream too many is refused, not left waiting.
_MOST_STREAMS = 64
_PREDICT_BATCH = f"/{MODEL_CONTAINER_SERVICE}/PredictBatch"

# For health and reflection, whose watchers hold a thread each, too.
_THREADS = 16

# A query service makes batches of 32 MiB, unless one input is larger; it may take inputs of 64.
_LARGEST_BATCH_BYTES = 128 * 1024 * 1024

_OPTIONS = (
    ("grpc.max_receive_message_length", _LARGEST_BATCH_BYTES),
    ("grpc.max_send_message_length", LARGEST_BATCH_ANSWER_BYTES),
    # Query services may ping as often as they like, and one that vanished without a word is noticed.
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # Two containers on one port must fail, not share it.
    ("grpc.so_reuseport", 0),
)

# Management is asked to confirm a release for at most this long.
_RELEASE_TIMEOUT_S = 2.0

# The last status of a stream is sent after its handler has ended.
_LAST_STATUS_S = 0.5


class ModelContainer:
    """One replica: bound when made, serving from `start` until `drain`, on the thread that calls `run`.

    Attributes:
        address: where query services reach it.

    Raises:
        InvalidInput: the address cannot be bound.
    """

    def __init__(self, settings: Settings, model: Calling) -> None:
        input_type = parse_input_type(settings.input_type)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="rpc")
        self._health = Health(self._threads)
        self._server = grpc.server(
            self._threads, interceptors=[UnreadableInterceptor()], options=_OPTIONS, maximum_concurrent_rpcs=_THREADS
        )
        servicer = Servicer(model, input_type)
        self._streams = BatchStreams(self._server, _PREDICT_BATCH, servicer.predict_batch, _MOST_STREAMS)
        self._add_services()
        self.address = settings.reached_at(_bind(self._server, settings.address))
        self._lease = _lease(settings, input_type, self.address) if settings.management_address else None

    def start(self) -> None:
        """Listens, then holds the lease; `run` is to be called then."""
        self._health.serve(MODEL_CONTAINER_SERVICE)
        self._server.start()
        self._streams.start()
        if self._lease:
            self._lease.start()

    def run(self) -> None:
        """Calls the model on this thread, for all batches, until another one has drained the container."""
        self._streams.run()

    def drain(self, grace_s: float) -> bool:
        """Releases the lease, serves on until every stream has ended or the grace is over, and stops.

        Returns:
            Whether every stream ended by itself. Otherwise the model may still be running, and `run` never return.
        """
        ends_s = time.monotonic() + grace_s
        if self._lease:
            self._lease.release(min(grace_s, _RELEASE_TIMEOUT_S))
        self._health.drain()
        drained = self._streams.wait_until_idle(max(0.0, ends_s - time.monotonic()))
        self._server.stop(_LAST_STATUS_S).wait()
        self._threads.shutdown()
        return drained

    def give_up(self) -> None:
        """Says that it does not serve and releases the lease, before the process ends with its model still running."""
        self._health.drain()
        if self._lease:
            self._lease.release(_RELEASE_TIMEOUT_S)

    def _add_services(self) -> None:
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        services = (MODEL_CONTAINER_SERVICE, grpc_health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(services, self._server)


def _bind(server: grpc.Server, address: str) -> int:
    try:
        return server.add_insecure_port(address)
    except RuntimeError:
        raise InvalidInput(f"The address '{address}' cannot be bound") from None


def _lease(settings: Settings, input_type: InputType, address: str) -> ReplicaLease:
    return ReplicaLease(
        settings.management_address,
        model_name=settings.model_name,
        model_version=settings.model_version,
        input_type=input_type,
        address=address,
    )
