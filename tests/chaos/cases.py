"""The attempts of the fuzzing: what each sends, and what it may be answered."""

import http.client
import io
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf import message_factory
from google.protobuf.message import DecodeError

PATIENCE_S = 20.0
# A failed model, an overload and a missed deadline are told to who has forbidden default outputs.
_STATUSES = frozenset({200, 204, 400, 403, 404, 405, 408, 409, 411, 413, 415, 426, 429, 431, 500, 501, 504})
_FORBIDDEN_DEFAULT = b"forbid_default"
_NO_MORE = ("GetMetrics",)
_CODES = frozenset(
    {
        *(grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND),
        *(grpc.StatusCode.ALREADY_EXISTS, grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.RESOURCE_EXHAUSTED),
        *(grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.CANCELLED),
    }
)


@dataclass(frozen=True, slots=True)
class Ports:
    """Where a cluster listens, host:port by name, and channels there."""

    addresses: Mapping[str, str]
    channels: Mapping[str, grpc.Channel]

    def connect(self, port: str) -> socket.socket:
        """A connection."""
        host, _, number = self.addresses[port].rpartition(":")
        return socket.create_connection((host, int(number)), timeout=PATIENCE_S)


@dataclass(frozen=True, slots=True)
class Exchange:
    """One HTTP/1.1 request whose framing is right.

    Attributes:
        port: "query" or "admin".
        head: the request line and headers, each ended by CR LF.
        body: what follows.
    """

    port: str
    head: bytes
    body: bytes

    def send(self, ports: Ports) -> str:
        """Sends it; returns what is wrong with the answer, "" when nothing is."""
        with ports.connect(self.port) as connection:
            length = b"content-length: %d\r\nconnection: close\r\n\r\n" % len(self.body)
            received = _exchange(connection, self.head + length + self.body, half_close=False)
        return _complaint(received, has_to_answer=True, may_fail=_FORBIDDEN_DEFAULT in self.body)


@dataclass(frozen=True, slots=True)
class Noise:
    """Bytes to a port, whatever they are, with nothing to come after them.

    Attributes:
        port: any.
        data: the bytes.
    """

    port: str
    data: bytes

    def send(self, ports: Ports) -> str:
        """See `Exchange`."""
        with ports.connect(self.port) as connection:
            received = _exchange(connection, self.data, half_close=True)
        return _complaint(received, has_to_answer=False, may_fail=_FORBIDDEN_DEFAULT in self.data)


@dataclass(frozen=True, slots=True)
class Call:
    """A native call whose messages may be none.

    Attributes:
        port: any.
        path: the method's.
        kind: the descriptor of what it takes.
        messages: several for methods that take a stream.
        is_readable_only: whether nothing is known about how bytes that are no message are answered.
    """

    port: str
    path: str
    kind: Any
    messages: Sequence[bytes]

    def send(self, ports: Ports) -> str:
        """See `Exchange`."""
        call: grpc.StreamStreamMultiCallable[bytes, bytes] = ports.channels[self.port].stream_stream(self.path)
        answers = call(iter(self.messages), timeout=PATIENCE_S)
        try:
            for _ in answers:
                if self.path.endswith("/Watch"):
                    answers.cancel()
        except grpc.RpcError:
            pass
        return self._complaint(answers.code(), answers.details())

    def _complaint(self, code: grpc.StatusCode, details: str) -> str:
        if code is grpc.StatusCode.DEADLINE_EXCEEDED and "Deadline Exceeded" in details:
            return "it hangs"
        if code is grpc.StatusCode.CANCELLED and not self.path.endswith("/Watch"):
            return "it was cancelled"
        if code not in _CODES and not any(_FORBIDDEN_DEFAULT in each for each in self.messages):
            return f"it ended with {code.name} {details}"
        refused = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED)
        if not self._is_readable() and code not in refused:
            return f"it is no message, and ended with {code.name} {details}"
        return ""

    def _is_readable(self) -> bool:
        if self.path.endswith(_NO_MORE):
            return True
        try:
            message_factory.GetMessageClass(self.kind).FromString(self.messages[0])
        except DecodeError:
            return False
        return True


Case = Exchange | Noise | Call


def _exchange(connection: socket.socket, data: bytes, *, half_close: bool) -> bytes | None:
    """What comes back until the other side ends the connection; None when it does not end."""
    received = bytearray()
    try:
        connection.sendall(data)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        while part := connection.recv(1 << 16):
            received += part
    except TimeoutError:
        return None
    except OSError:
        # Whoever has heard enough may close the connection before it has read all.
        pass
    return bytes(received)


def _complaint(received: bytes | None, *, has_to_answer: bool, may_fail: bool) -> str:
    if received is None:
        return "it hangs"
    if not received.startswith(b"HTTP/1.1 "):
        return "it was not answered" if has_to_answer and not received else ""
    status, text = _first_response(received)
    if status not in _STATUSES or (status in (500, 504) and not may_fail):
        return f"it was answered with {status} {text!r}"
    return ""


def _first_response(received: bytes) -> tuple[int, bytes]:
    class Received:
        def makefile(self, _mode: str) -> io.BytesIO:
            return io.BytesIO(received)

    response = http.client.HTTPResponse(Received())  # type: ignore[arg-type]
    try:
        response.begin()
        return response.status, response.read()[:300]
    except http.client.HTTPException as error:
        return response.status or 0, repr(error).encode()
