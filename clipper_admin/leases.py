"""Which replicas serve: those that hold a lease of management's, for which they ask once they have loaded."""

import grpc
from clipper.v1 import management_service_pb2, management_service_pb2_grpc

from clipper_admin import direct
from clipper_admin.exceptions import ClipperException

_TIMEOUT_S = 5.0
_AWAY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


def held(admin_address: str) -> set[str]:
    """The addresses, host:port, of all replicas that hold a lease; none while management does not answer.

    Args:
        admin_address: host:port of the cluster's administration.

    Raises:
        ClipperException: management refused.
    """
    with direct.channel(admin_address) as channel:
        stub = management_service_pb2_grpc.ManagementServiceStub(channel)
        try:
            response = stub.GetAllReplicas(
                management_service_pb2.GetAllReplicasRequest(verbose=True), timeout=_TIMEOUT_S
            )
        except grpc.RpcError as error:
            if error.code() in _AWAY:
                return set()
            raise ClipperException(f"Management does not tell which replicas serve: {error.details()}") from error
    return {replica.address for replica in response.replicas}
