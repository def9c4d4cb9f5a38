"""What serves: services by the standard gRPC health check, replicas by their leases."""

import math
import time
from collections.abc import Callable, Iterable

import grpc
from clipper.v1 import management_service_pb2, management_service_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from clipper_admin import direct
from clipper_admin.exceptions import ClipperException

QUERY_SERVICE = "clipper.v1.QueryService"
MANAGEMENT_SERVICE = "clipper.v1.ManagementService"
_PROBE_TIMEOUT_S = 1.0
_LEASES_TIMEOUT_S = 5.0
_POLL_INTERVAL_S = 0.05
_AWAY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)

# host:port, and the gRPC service that is to serve there.
Probe = tuple[str, str]


def is_serving(address: str, service: str = "") -> bool:
    """Whether the gRPC server at `address` says that `service` is SERVING; "" asks for the server as a whole."""
    with direct.channel(address) as channel:
        request = health_pb2.HealthCheckRequest(service=service)
        try:
            reply = health_pb2_grpc.HealthStub(channel).Check(  # type: ignore[attr-defined]
                request, timeout=_PROBE_TIMEOUT_S
            )
        except grpc.RpcError:
            return False
    return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)


def wait_until_serving(probes: Iterable[Probe], check: Callable[[], None], timeout_s: float) -> bool:
    """Waits until all of these serve, one after the other; returns whether they do.

    Args:
        probes: what is to serve.
        check: raises when it cannot come to that any more; called before each look.
        timeout_s: for all of them together.
    """
    deadline = time.monotonic() + timeout_s
    for probe in probes:
        check()
        while not is_serving(*probe):
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_INTERVAL_S)
            check()
    return True


def leased(admin_address: str, since_s: float = -math.inf) -> set[str]:
    """The addresses, host:port, of all replicas that hold a lease, for which they ask once they have loaded.

    None do as far as is known while management does not answer.

    Args:
        admin_address: host:port of the cluster's administration.
        since_s: when, on time.monotonic()'s clock, those that are meant may have begun to live. A lease that was not
            opened or renewed since was left at its address by somebody before them.

    Raises:
        ClipperException: management refused.
    """
    with direct.channel(admin_address) as channel:
        stub = management_service_pb2_grpc.ManagementServiceStub(channel)
        request = management_service_pb2.GetAllReplicasRequest(verbose=True)
        oldest_micros = (time.monotonic() - since_s) * 1e6
        try:
            response = stub.GetAllReplicas(request, timeout=_LEASES_TIMEOUT_S)
        except grpc.RpcError as error:
            if error.code() in _AWAY:
                return set()
            raise ClipperException(f"Management does not tell which replicas serve: {error.details()}") from error
    return {replica.address for replica in response.replicas if replica.lease_age_micros <= oldest_micros}
