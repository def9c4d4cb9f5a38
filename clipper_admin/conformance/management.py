"""The management service as a container knows it: it keeps the lease, and notes what comes."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Self

import grpc
from clipper.v1 import management_service_pb2 as pb

REPLICA_ID = 7
_SERVICE = "clipper.v1.ManagementService"
# A container has one stream open, or is just opening the next.
_THREADS = 4


@dataclass(slots=True)
class Lease:
    """A stream on which a lease was held, or still is.

    Attributes:
        replica: what the container said of itself.
        was_serving: whether it said that it serves when it asked for the lease.
        asked_s: when it asked for it and when it renewed it, on the clock of time.monotonic.
        is_broken: whether the stream was broken.
        is_released: whether it was released.
    """

    replica: pb.LeasedReplica
    was_serving: bool
    asked_s: list[float] = field(default_factory=list)
    is_broken: bool = False
    is_released: bool = False


class Management:
    """Serves on a free port of this machine while the context lasts.

    Args:
        is_serving: whether the container says that it serves; asked when a lease is.
        time_to_live_s: how long a lease runs without a renewal.

    Attributes:
        address: where, host:port.
        time_to_live_s: the same.
    """

    def __init__(self, is_serving: Callable[[], bool], time_to_live_s: float) -> None:
        self._is_serving = is_serving
        self.time_to_live_s = time_to_live_s
        self._changed = threading.Condition()  # guards all that follows
        self._leases: list[Lease] = []
        self._is_breaking = False
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="leases")
        self._server = grpc.server(self._threads)
        handler = grpc.stream_stream_rpc_method_handler(
            self._hold,
            request_deserializer=pb.HoldReplicaLeaseRequest.FromString,
            response_serializer=pb.HoldReplicaLeaseResponse.SerializeToString,
        )
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(_SERVICE, {"HoldReplicaLease": handler}),)
        )
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait()
        self._threads.shutdown()

    @property
    def opened(self) -> int:
        """How many streams were opened for leases."""
        return len(self._leases)

    def forget(self) -> None:
        """Forgets what has come so far."""
        with self._changed:
            self._leases = []

    def lease(
        self, within_s: float, holds: Callable[[Lease], bool] = lambda _: True, *, opened: int = 1
    ) -> Lease | None:
        """The lease that was opened last, once so many were and that holds for it; None if not within so long."""

        def there() -> bool:
            return len(self._leases) >= opened and holds(self._leases[-1])

        with self._changed:
            return self._leases[-1] if self._changed.wait_for(there, within_s) else None

    def break_next(self) -> None:
        """Answers the next renewal with the end of its stream."""
        with self._changed:
            self._is_breaking = True

    def _hold(
        self, requests: Iterator[pb.HoldReplicaLeaseRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.HoldReplicaLeaseResponse]:
        lease = None
        try:
            for request in requests:
                if lease is None:
                    lease = self._open(request)
                elif self._note(lease, request):
                    return
                yield self._confirmed(lease)
        except grpc.RpcError:
            return  # the container is gone

    def _open(self, request: pb.HoldReplicaLeaseRequest) -> Lease:
        lease = Lease(request.replica, self._is_serving())
        with self._changed:
            self._leases.append(lease)
        return lease

    def _confirmed(self, lease: Lease) -> pb.HoldReplicaLeaseResponse:
        with self._changed:
            lease.asked_s.append(time.monotonic())
            self._changed.notify_all()
        return pb.HoldReplicaLeaseResponse(
            model_replica_id=REPLICA_ID, time_to_live_micros=int(self.time_to_live_s * 1e6)
        )

    def _note(self, lease: Lease, request: pb.HoldReplicaLeaseRequest) -> bool:
        """Notes a later message of a stream; returns whether the stream ends with it."""
        with self._changed:
            lease.is_released = request.release
            lease.is_broken, self._is_breaking = self._is_breaking and not request.release, False
            self._changed.notify_all()
            return lease.is_released or lease.is_broken
