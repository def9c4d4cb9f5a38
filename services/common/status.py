"""The one place where an exception becomes a gRPC status."""

import logging
from dataclasses import dataclass

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from services.common import errors

_LOG = logging.getLogger(__name__)
_DOMAIN = "clipper"
_DETAILS_KEY = "grpc-status-details-bin"
# A status travels in the trailing metadata, percent-encoded and once more in the details; a client refuses more than
# 8 KiB of it, and would see that instead of the message.
_LONGEST_MESSAGE_BYTES = 1_500

# The most specific class on an exception's way up the tree decides.
_CODES: dict[type[BaseException], grpc.StatusCode] = {
    errors.InvalidInput: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    errors.Conflict: grpc.StatusCode.FAILED_PRECONDITION,
    errors.ServiceError: grpc.StatusCode.UNAVAILABLE,
}


@dataclass(frozen=True, slots=True)
class RpcStatus:
    """How an RPC ends.

    Attributes:
        code: the status code.
        message: the status message, for people.
        trailing_metadata: pairs of key and value; rich errors carry google.rpc.Status here.
    """

    code: grpc.StatusCode = grpc.StatusCode.OK
    message: str = ""
    trailing_metadata: tuple[tuple[str, str | bytes], ...] = ()


OK = RpcStatus()


def from_exception(error: BaseException) -> RpcStatus:
    """The status for an exception that ended an RPC; one outside the error tree is logged and its text withheld."""
    for kind in type(error).__mro__:
        code = _CODES.get(kind)
        if code is not None and isinstance(error, errors.ClipperError):
            return _rich(code, str(error), error.reason)
    _LOG.error("an RPC failed unexpectedly", exc_info=error)
    return _rich(grpc.StatusCode.INTERNAL, errors.UNEXPECTED, errors.ClipperError.reason)


def _rich(code: grpc.StatusCode, message: str, reason: str) -> RpcStatus:
    info = any_pb2.Any()
    info.Pack(error_details_pb2.ErrorInfo(reason=reason, domain=_DOMAIN))
    message = _shortened(message)
    details = status_pb2.Status(code=code.value[0], message=message, details=[info])
    return RpcStatus(code, message, ((_DETAILS_KEY, details.SerializeToString()),))


def _shortened(message: str) -> str:
    # Names that clients send may hold lone surrogates, which no status can carry.
    encoded = message.encode(errors="replace")
    if len(encoded) <= _LONGEST_MESSAGE_BYTES:
        return encoded.decode()
    return encoded[:_LONGEST_MESSAGE_BYTES].decode(errors="ignore") + "…"
