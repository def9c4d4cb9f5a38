"""The supervisor's control socket: one JSON request and one JSON reply a connection.

{"operation": "stop", "arguments": {"names": ["sum-model_1-0"], "graceful": true}}
{"result": null}    or    {"error": "ValueError: the cluster is stopping"}
"""

import asyncio
import json
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clipper_admin.exceptions import ClipperException
from clipper_admin.hosts.process.directory import ClusterDirectory

_LOG = logging.getLogger(__name__)
# Names its log.
SUPERVISOR = "supervisor"
_REPLY_TIMEOUT_S = 10.0
# Longer than the longest grace of a process.
_STOPPED_TIMEOUT_S = 60.0


class SupervisorUnreachable(ClipperException):
    """Nobody answers on the control socket."""


class SupervisorHangs(SupervisorUnreachable):
    """Somebody listens on the control socket but has not answered in time."""


def listen(path: Path) -> socket.socket:
    """Binds the control socket."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with _short(path) as name:
        listener.bind(name)
    listener.listen()
    return listener


async def serve(listener: socket.socket, operations: Mapping[str, Callable[..., Awaitable[Any]]]) -> asyncio.Server:
    """Carries out orders until the returned server is closed."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = json.loads(await reader.read())
            reply = {"result": await operations[request["operation"]](**request["arguments"])}
        except Exception as error:
            _LOG.exception("an order failed")
            reply = {"error": f"{type(error).__name__}: {error}"}
        writer.write(json.dumps(reply).encode())
        writer.close()

    # start_unix_server would look, from Python 3.13 on, at the name that the socket was bound by, which is gone by now.
    return await asyncio.start_server(handle, sock=listener)


def order(path: Path, operation: str, **arguments: Any) -> Any:
    """Has the supervisor carry out an operation and returns its result.

    Raises:
        SupervisorHangs: it does not answer in time.
        SupervisorUnreachable: there is no supervisor; with the end of its log.
        ClipperException: it refused.
    """
    request = json.dumps({"operation": operation, "arguments": arguments}).encode()
    timeout_s = _STOPPED_TIMEOUT_S if operation == "stop" else _REPLY_TIMEOUT_S
    try:
        reply = json.loads(_exchange(path, request, timeout_s))
    except TimeoutError as error:
        raise SupervisorHangs(f"The cluster's supervisor has not answered at {path} for {timeout_s:.0f} s") from error
    except (OSError, ValueError) as error:
        raise _unreachable(path, error) from error
    if "error" in reply:
        raise ClipperException(f"The cluster's supervisor refused to {operation}: {reply['error']}")
    return reply["result"]


def _unreachable(path: Path, error: Exception) -> SupervisorUnreachable:
    complaint = f"The cluster's supervisor does not answer at {path}: {error}"
    directory = ClusterDirectory(path.parent)
    last_lines = directory.log_tail(SUPERVISOR)
    if last_lines:
        complaint += f". The end of its log ({directory.log_file(SUPERVISOR)}):\n{last_lines}"
    return SupervisorUnreachable(complaint)


def _exchange(path: Path, request: bytes, timeout_s: float) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        with _short(path) as name:
            connection.connect(name)
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(1 << 16), b""))


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """A name for a socket's path that fits into the 107 bytes which a socket's address has, however deep it lies."""
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
