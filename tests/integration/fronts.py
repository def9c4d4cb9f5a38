"""A running front for tests, and how to wait for what it does."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import grpc

from services.query.front import Front, Loop, StreamHandlerFactory, UnaryHandler

ECHO = "/test.Service/Echo"
STREAM = "/test.Service/Stream"
MAX_MESSAGE_BYTES = 4 << 20
MAX_UNANSWERED = 16
PATIENCE_S = 40.0


@contextmanager
def running_front(
    unary: Mapping[str, UnaryHandler] | None = None,
    streams: Mapping[str, StreamHandlerFactory] | None = None,
    *,
    loop: Loop | None = None,
    max_message_bytes: int = MAX_MESSAGE_BYTES,
    max_unanswered: int = MAX_UNANSWERED,
    credentials: grpc.ServerCredentials | None = None,
    max_connection_age_s: float | None = None,
) -> Iterator[Front]:
    """A started front on a free port; drained without grace in the end."""
    front = Front(
        loop or Loop(),
        "127.0.0.1:0",
        unary or {},
        streams or {},
        max_message_bytes=max_message_bytes,
        max_unanswered=max_unanswered,
        credentials=credentials,
        max_connection_age_s=max_connection_age_s,
    )
    front.start()
    try:
        yield front
    finally:
        front.drain(grace_s=0)


def channel_to(front: Front) -> grpc.Channel:
    """A plain-text channel with a connection of its own."""
    return grpc.insecure_channel(f"127.0.0.1:{front.port}", [("grpc.use_local_subchannel_pool", 1)])


def unary(channel: grpc.Channel, method: str = ECHO) -> "grpc.UnaryUnaryMultiCallable[bytes, bytes]":
    """A unary method as its client."""
    return channel.unary_unary(method)


def server_stream(channel: grpc.Channel, method: str = STREAM) -> "grpc.UnaryStreamMultiCallable[bytes, bytes]":
    """A method with one request and any number of answers as its client."""
    return channel.unary_stream(method)


def stream(channel: grpc.Channel, method: str = STREAM) -> "grpc.StreamStreamMultiCallable[bytes, bytes]":
    """A method with any number of messages both ways as its client."""
    return channel.stream_stream(method)


def wait_until(condition: Callable[[], bool]) -> None:
    """Return as soon as the condition holds; fail when it does not in good time."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, "waited in vain"
        time.sleep(0.002)


def code_of(call: Callable[[], object]) -> grpc.StatusCode:
    """The status code that an RPC fails with."""
    try:
        call()
    except grpc.RpcError as error:
        code: grpc.StatusCode = error.code()
        return code
    raise AssertionError("the RPC succeeded")
