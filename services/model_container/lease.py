"""The lease: makes this replica known to management for as long as it is willing to serve.

One thread holds one stream. Opening and renewals are confirmed one by one, so the thread reads a confirmation, waits a
third of the time to live that it grants, and renews. A broken stream is opened again, for ever, with the replica id
that was given, so that a restart of management goes unnoticed while the lease has time to live.
"""

import logging
import queue
import random
import threading

import grpc
from clipper.v1 import management_service_pb2, management_service_pb2_grpc

from services.common import input_types
from services.common.lifecycle import VitalThread
from services.common.names import InputType

_LOG = logging.getLogger(__name__)

_SHORTEST_BACK_OFF_S = 0.1
_LONGEST_BACK_OFF_S = 2.0
_RENEWALS_IN_TIME_TO_LIVE = 3
# A release waits no longer than this for the confirmation of a lease that management has not confirmed yet.
_UNCONFIRMED_S = 0.2

_CHANNEL_OPTIONS = (
    # A management service that is back is found well before it may sweep a lease.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # One that is back under another address is found too: the core's own pause between two looks at the name, 30 s,
    # outlasts the lease.
    ("grpc.dns_min_time_between_resolutions_ms", 500),
    # A management service that vanished without a word is noticed.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    # Management is a neighbour, whatever proxy the model's own downloads need.
    ("grpc.enable_http_proxy", 0),
)

_RENEWAL = management_service_pb2.HoldReplicaLeaseRequest()
_RELEASE = management_service_pb2.HoldReplicaLeaseRequest(release=True)
_END = None

_Outbox = queue.SimpleQueue[management_service_pb2.HoldReplicaLeaseRequest | None]


class ReplicaLease:
    """The lease of one replica; `start` it when the replica serves, `release` it before the replica stops serving."""

    def __init__(
        self, management_address: str, *, model_name: str, model_version: str, input_type: InputType, address: str
    ) -> None:
        self._replica = management_service_pb2.LeasedReplica(
            model_name=model_name,
            model_version=model_version,
            input_type=input_types.TO_PROTO[input_type],
            address=address,
        )
        self._releasing = threading.Event()
        self._channel = grpc.insecure_channel(management_address, _CHANNEL_OPTIONS)
        self._stub = management_service_pb2_grpc.ManagementServiceStub(self._channel)
        self._thread = VitalThread(target=self._hold, name="replica lease")
        # What the log last said, so that an outage is told once.
        self._told_held: bool | None = None

    def start(self) -> None:
        """Starts to hold the lease; returns at once."""
        self._thread.start()

    def release(self, timeout_s: float) -> None:
        """Releases the lease and waits until management confirmed that, or cannot be reached, or the time is over.

        Safe before `start` and safe to repeat.
        """
        self._releasing.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s if self._told_held else min(timeout_s, _UNCONFIRMED_S))
        self._channel.close()
        if self._thread.is_alive():
            self._thread.join()

    def _hold(self) -> None:
        back_off_s = _SHORTEST_BACK_OFF_S
        while not self._releasing.is_set():
            if self._hold_stream():
                back_off_s = _SHORTEST_BACK_OFF_S
            jittered_s = random.uniform(_SHORTEST_BACK_OFF_S, 3 * back_off_s)  # noqa: S311 - spreads, guards nothing
            back_off_s = min(_LONGEST_BACK_OFF_S, jittered_s)
            self._releasing.wait(back_off_s)

    def _hold_stream(self) -> bool:
        """Holds one stream until it ends; returns whether management confirmed the lease at least once."""
        outbox: _Outbox = queue.SimpleQueue()
        outbox.put(management_service_pb2.HoldReplicaLeaseRequest(replica=self._replica))
        confirmed = False
        try:
            # Waiting for the connection keeps a thread on it: without one, the core's pollers (see
            # services/common/grpc_core) look at a connection in the making every five seconds only.
            for confirmation in self._stub.HoldReplicaLease(iter(outbox.get, None), wait_for_ready=True):
                confirmed = True
                self._note_held(confirmation.model_replica_id)
                time_to_live_s = confirmation.time_to_live_micros / 1e6
                if self._releasing.wait(time_to_live_s / _RENEWALS_IN_TIME_TO_LIVE):
                    outbox.put(_RELEASE)
                    outbox.put(_END)
                else:
                    outbox.put(_RENEWAL)
            self._note_lost("management ended the stream")
        except Exception as error:  # whatever it is, a replica that serves wants its lease
            self._note_lost(_cause(error))
        finally:
            outbox.put(_END)
        return confirmed

    def _note_held(self, replica_id: int) -> None:
        self._replica.model_replica_id = replica_id
        if self._told_held is not True:
            _LOG.info("lease held", extra={"replica": replica_id})
        self._told_held = True

    def _note_lost(self, cause: str) -> None:
        if self._told_held is not False and not self._releasing.is_set():
            _LOG.warning("lease not held, trying again", extra={"cause": cause})
        self._told_held = False


def _cause(error: Exception) -> str:
    return f"{error.code().name}: {error.details()}" if isinstance(error, grpc.Call) else repr(error)
