"""gRPC server reflection on the front, so that generic clients need no .proto files."""

from google.protobuf.message import DecodeError
from grpc_health.v1 import health
from grpc_reflection.v1alpha import reflection, reflection_pb2

from services.common.errors import InvalidInput
from services.common.names import QUERY_SERVICE
from services.query.front import StreamCall

_SERVICES = (QUERY_SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)


class Reflection:
    """One ServerReflectionInfo call; grpcio's own servicer looks the answers up."""

    def __init__(self, call: StreamCall) -> None:
        self._call = call
        self._servicer = reflection.ReflectionServicer(_SERVICES)

    def on_message(self, message: bytes) -> None:
        """Answers one question."""
        try:
            question = reflection_pb2.ServerReflectionRequest.FromString(message)
        except DecodeError:
            raise InvalidInput("The request is not a ServerReflectionRequest") from None
        for answer in self._servicer.ServerReflectionInfo(iter([question]), None):  # type: ignore[arg-type]
            self._call.send(answer.SerializeToString())

    def on_half_close(self) -> None:
        """Ends the call."""
        self._call.finish()
