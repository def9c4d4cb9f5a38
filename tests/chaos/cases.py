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

PATIENCE_S = 40.0
# The largest body that both of Envoy's ports read to its end.
_ALWAYS_READ_BYTES = 1 << 20
_STATUSES = frozenset({200, 204, 400, 403, 404, 405, 406, 408, 409, 411, 413, 415, 417, 426, 429, 431, 501})
# What is told to who has forbidden default outputs, or has given too little time.
_ASKED_FOR = {500: (b"forbid_default",), 504: (b"forbid_default", b"grpc-timeout")}
_GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"
_READS_NOTHING = "/GetMetrics"
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
        length = b"content-length: %d\r\n\r\n" % len(self.body)
        sent = self.head + length + self.body
        with ports.connect(self.port) as connection:
            try:
                connection.sendall(sent)
                status, text = _response(connection)
            except TimeoutError:
                return "it hangs"
            except ConnectionError as error:
                # Who is told that a body is too large while sending it may lose the answer with the connection.
                return "" if len(self.body) > _ALWAYS_READ_BYTES else f"it was not answered: {error!r}"
        return _complaint(status, text, sent)


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
            received = _last_word(connection, self.data)
        if received is None:
            return "it hangs"
        # Who is told to go on, and goes on with what is no body, has no right to more.
        if not received.startswith(b"HTTP/1.1 ") or received == _GO_ON:
            return ""
        return _complaint(*_response(_Received(received)), self.data)


@dataclass(frozen=True, slots=True)
class Call:
    """A native call whose messages may be none.

    Attributes:
        port: any.
        path: the method's.
        kind: the descriptor of what it takes.
        messages: several for methods that take a stream.
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
        if code not in _CODES and not any(b"forbid_default" in each for each in self.messages):
            return f"it ended with {code.name} {details}"
        refused = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED)
        if not self._is_readable() and code not in refused:
            return f"it is no message, and ended with {code.name} {details}"
        return ""

    def _is_readable(self) -> bool:
        if self.path.endswith(_READS_NOTHING):
            return True
        try:
            message_factory.GetMessageClass(self.kind).FromString(self.messages[0])
        except DecodeError:
            return False
        return True


Case = Exchange | Noise | Call


class _Received:
    """What has come in, as http.client wants to read it."""

    def __init__(self, received: bytes) -> None:
        self._received = received

    def makefile(self, _mode: str) -> io.BytesIO:
        """A file to read it from."""
        return io.BytesIO(self._received)


def _last_word(connection: socket.socket, data: bytes) -> bytes | None:
    """What comes back to bytes that are all until the connection ends; None when it does not end."""
    received = bytearray()
    try:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        while part := connection.recv(1 << 16):
            received += part
    except TimeoutError:
        return None
    except OSError:
        # Whoever has heard enough may close the connection before it has read all.
        pass
    return bytes(received)


def _response(connection: socket.socket | _Received) -> tuple[int, bytes]:
    """The status and the text of the first response that there is."""
    response = http.client.HTTPResponse(connection)  # type: ignore[arg-type]
    try:
        response.begin()
        return response.status, response.read()[:300]
    except http.client.HTTPException as error:
        return response.status if isinstance(response.status, int) else 0, repr(error).encode()
    finally:
        response.close()


def _complaint(status: int, text: bytes, sent: bytes) -> str:
    asked_for = any(words in sent for words in _ASKED_FOR.get(status, ()))
    return "" if status in _STATUSES or asked_for else f"it was answered with {status} {text!r}"
