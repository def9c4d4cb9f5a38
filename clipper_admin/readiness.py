"""Whether a service serves: by the standard gRPC health check, or by its answer to HTTP."""

import time

import grpc
import requests
from grpc_health.v1 import health_pb2, health_pb2_grpc

from clipper_admin import direct
from clipper_admin.exceptions import ClipperException

_PROBE_TIMEOUT_S = 1.0
_HTTP_PROBE_TIMEOUT_S = 5.0
_POLL_INTERVAL_S = 0.1


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


def wait_until_answered(url: str, timeout_s: float) -> None:
    """Returns when a GET of `url` succeeds.

    Raises:
        ClipperException: it still does not after `timeout_s`.
        requests.RequestException: there is still nobody.
    """
    deadline_s = time.monotonic() + timeout_s
    while True:
        try:
            if direct.get(url, _HTTP_PROBE_TIMEOUT_S).status_code == requests.codes.ok:
                return
        except requests.RequestException:
            if time.monotonic() > deadline_s:
                raise
        if time.monotonic() > deadline_s:
            raise ClipperException(f"{url} did not answer within {timeout_s:.0f} s")
        time.sleep(_POLL_INTERVAL_S)
