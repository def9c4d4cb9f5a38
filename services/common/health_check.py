"""`python -m services.common.health_check SERVICE`: whether the server of this container serves, as the exit status.

It calls grpc.health.v1.Health/Check on the loopback, at the port of CLIPPER_ADDRESS, and is what a container's health
check runs every few seconds. So it speaks its few frames of HTTP/2 on a plain socket: starting Python takes 0.03 s of a
processor, importing grpcio and protobuf six times that.
"""

import os
import socket
import sys
from typing import BinaryIO

_TIMEOUT_S = 2.0
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_FRAME_HEADER_BYTES = 9
_DATA, _HEADERS, _SETTINGS = 0, 1, 4
_END_STREAM, _END_HEADERS = 0x1, 0x4
# Header fields that HPACK has in its static table: whole, or by the index of the name.
_METHOD_POST, _SCHEME_HTTP = b"\x83", b"\x86"
_AUTHORITY, _PATH, _CONTENT_TYPE = b"\x01", b"\x04", b"\x0f\x10"
# HealthCheckRequest.service is field 1, HealthCheckResponse.status too; SERVING is 1.
_SERVICE_FIELD, _SERVING = b"\x0a", b"\x08\x01"


def is_serving(port: int, service: str) -> bool:
    """Whether the server at this port of the loopback says that `service` is served."""
    try:
        with socket.create_connection(("127.0.0.1", port), _TIMEOUT_S) as connection:
            connection.sendall(_call(service.encode()))
            with connection.makefile("rb") as received:
                return _answer(received) == _message(_SERVING)
    except OSError:
        return False


def _call(service: bytes) -> bytes:
    headers = (
        _METHOD_POST
        + _SCHEME_HTTP
        + (_PATH + _text(b"/grpc.health.v1.Health/Check"))
        + (_AUTHORITY + _text(b"localhost"))
        + (_CONTENT_TYPE + _text(b"application/grpc"))
        + (b"\x00" + _text(b"te") + _text(b"trailers"))
    )
    request = _message(_SERVICE_FIELD + _text(service))
    return (
        _PREFACE
        + _frame(_SETTINGS, 0, 0, b"")
        + _frame(_HEADERS, _END_HEADERS, 1, headers)
        + _frame(_DATA, _END_STREAM, 1, request)
    )


def _answer(received: BinaryIO) -> bytes:
    """The first data of the call, which is all of so short a message; nothing if the call ends without."""
    while header := received.read(_FRAME_HEADER_BYTES):
        payload = received.read(int.from_bytes(header[:3]))
        kind, flags = header[3], header[4]
        if kind == _DATA:
            return payload
        if kind == _HEADERS and flags & _END_STREAM:
            break
    return b""


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload


def _message(encoded: bytes) -> bytes:
    """A gRPC message that is not compressed."""
    return b"\x00" + len(encoded).to_bytes(4) + encoded


def _text(text: bytes) -> bytes:
    """A string of fewer than 127 bytes, which HPACK and protobuf write alike."""
    return bytes((len(text),)) + text


def main() -> None:
    """Ends with status 0 when the service is served and 1 when it is not."""
    _host, _colon, port = os.environ["CLIPPER_ADDRESS"].rpartition(":")
    sys.exit(0 if is_serving(int(port), sys.argv[1]) else 1)


if __name__ == "__main__":
    main()
