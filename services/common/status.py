"""The one place where an exception becomes a gRPC status."""

import dataclasses
import logging
import re
from dataclasses import dataclass

import grpc
from google.protobuf import duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from services.common import errors

_LOG = logging.getLogger(__name__)
_DOMAIN = "clipper"
_DETAILS_KEY = "grpc-status-details-bin"
# A status travels in the trailing metadata, percent-encoded and once more in the details; a client refuses more than
# 8 KiB of it, and would see that instead of the message.
_LONGEST_MESSAGE_BYTES = 1_500
# What is left out of a longer one is its middle: names that a client made up are there, and what to do is at the end.
_LONGEST_END_BYTES = 500

# The most specific class on an exception's way up the tree decides.
_CODES: dict[type[BaseException], grpc.StatusCode] = {
    errors.InvalidInput: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    errors.Conflict: grpc.StatusCode.FAILED_PRECONDITION,
    errors.ServiceError: grpc.StatusCode.UNAVAILABLE,
    errors.NoCapacity: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.DeadlineMissed: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.ModelFailed: grpc.StatusCode.INTERNAL,
}

# For what HTTP has a status and gRPC none: it travels along, with the message once more, for the edge to make it of.
_HTTP_STATUSES: dict[type[BaseException], str] = {errors.UnsupportedMediaType: "415", errors.NotAcceptable: "406"}
_HTTP_STATUS_KEY, _HTTP_MESSAGE_KEY = "x-clipper-status", "x-clipper-message"
_NO_HEADER = re.compile(r"[^ -~]")


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
            return _with_http_status(_rich(code, str(error), _details(error)), type(error))
    _LOG.error("an RPC failed unexpectedly", exc_info=error)
    return _rich(grpc.StatusCode.INTERNAL, errors.UNEXPECTED, [_info(errors.ClipperError.reason)])


def to_proto(status: RpcStatus) -> status_pb2.Status:
    """The status of an exception as a message, for what fails without ending an RPC."""
    details = dict(status.trailing_metadata)[_DETAILS_KEY]
    return status_pb2.Status.FromString(details)


def _with_http_status(status: RpcStatus, kind: type[BaseException]) -> RpcStatus:
    http_status = _HTTP_STATUSES.get(kind)
    if http_status is None:
        return status
    told = ((_HTTP_STATUS_KEY, http_status), (_HTTP_MESSAGE_KEY, _NO_HEADER.sub("?", status.message)))
    return dataclasses.replace(status, trailing_metadata=(*status.trailing_metadata, *told))


def _details(error: errors.ClipperError) -> list[Message]:
    if not isinstance(error, errors.NoCapacity):
        return [_info(error.reason)]
    delay = duration_pb2.Duration()
    delay.FromMicroseconds(round(error.retry_after_s * 1e6))
    return [_info(error.reason), error_details_pb2.RetryInfo(retry_delay=delay)]


def _info(reason: str) -> Message:
    info: Message = error_details_pb2.ErrorInfo(reason=reason, domain=_DOMAIN)
    return info


def _rich(code: grpc.StatusCode, message: str, details: list[Message]) -> RpcStatus:
    message = _shortened(message)
    rich = status_pb2.Status(code=code.value[0], message=message)
    for detail in details:
        rich.details.add().Pack(detail)
    return RpcStatus(code, message, ((_DETAILS_KEY, rich.SerializeToString()),))


def _shortened(message: str) -> str:
    # Names that clients send may hold lone surrogates, which no status can carry.
    encoded = message.encode(errors="replace")
    if len(encoded) <= _LONGEST_MESSAGE_BYTES:
        return encoded.decode()
    beginning, end = encoded[: _LONGEST_MESSAGE_BYTES - _LONGEST_END_BYTES], encoded[-_LONGEST_END_BYTES:]
    return beginning.decode(errors="ignore") + "…" + end.decode(errors="ignore")
