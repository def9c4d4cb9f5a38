"""Whether a service serves, by the standard gRPC health check."""

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

_PROBE_TIMEOUT_S = 1.0


def is_serving(address: str, service: str = "") -> bool:
    """Whether the gRPC server at `address` says that `service` is SERVING; "" asks for the server as a whole."""
    with grpc.insecure_channel(address) as channel:
        request = health_pb2.HealthCheckRequest(service=service)
        try:
            reply = health_pb2_grpc.HealthStub(channel).Check(  # type: ignore[attr-defined]
                request, timeout=_PROBE_TIMEOUT_S
            )
        except grpc.RpcError:
            return False
    return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)
