"""Calls whose path and headers are anything, straight to each service: they end, and nobody else notices.

The edge lets few of these pass; in the network behind it there is nobody to refuse them.
"""

import functools
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty
from grpc_health.v1 import health_pb2

from tests.fixtures import raw_http2
from tests.fixtures.query_services import CHANNEL_OPTIONS, PATIENCE_S, SERVING
from tests.fixtures.services import services

_CHECK = "/grpc.health.v1.Health/Check"
_WATCH = "/grpc.health.v1.Health/Watch"
_WATCHES = 50
_WATCHING_AT_ONCE = 8
_UNKNOWN = "/clipper.v1.Nothing/Nothing"
# Beyond what a grpcio server takes of headers together.
_HUGE_BYTES = 14_000

_HEADERS: dict[str, list[tuple[str, bytes]]] = {
    "a path that is no UTF-8": [(":path", b"/clipper.v1.ManagementService/Get\xa9")],
    "a path of a known method and more": [(":path", _CHECK.encode() + b"\xff")],
    "a path of odd bytes": [(":path", b"\xff\xfe\xfd")],
    "a path of nothing": [(":path", b"")],
    "a path with a zero": [(":path", b"/clipper.v1\0/Get")],
    "a huge path": [(":path", b"/" + b"a" * _HUGE_BYTES)],
    "a huge path that is no UTF-8": [(":path", b"/" + b"\xa9" * _HUGE_BYTES)],
    "an authority that is no UTF-8": [(":authority", b"\xa9")],
    "a scheme that is no UTF-8": [(":scheme", b"\xa9")],
    "a method that is no UTF-8": [(":method", b"P\xa9")],
    "a content type that is no UTF-8": [("content-type", b"application/grpc\xa9")],
    "metadata that are no UTF-8": [("x-foo", b"\x80\xff"), ("user-agent", b"\xff"), ("traceparent", b"\xff")],
    "a name that is no ASCII": [("x-\u00e9", b"1")],
    "binary metadata that are no base64": [("x-foo-bin", b"!!!"), ("grpc-trace-bin", b"\xff")],
    "binary metadata that are garbage": [("grpc-status-details-bin", b"/////w"), ("x-foo-bin", b"gICA")],
    "a status and a message that is no UTF-8": [("grpc-status", b"\xff"), ("grpc-message", b"%%%\xff")],
    "a timeout that is no UTF-8": [("grpc-timeout", b"\xff")],
    "an encoding that is no UTF-8": [("grpc-encoding", b"\xff"), ("grpc-accept-encoding", b"\xff")],
}


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """One service of each kind."""
    with services(tmp_path_factory.mktemp("services")) as running:
        yield running


def _assert_serves(channel: grpc.Channel) -> None:
    check: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(_CHECK)
    assert health_pb2.HealthCheckResponse.FromString(check(b"", timeout=PATIENCE_S)).status == SERVING


@pytest.mark.parametrize("headers", _HEADERS.values(), ids=_HEADERS)
@pytest.mark.parametrize("service", ["query", "management", "container"])
def test_a_call_of_anything_ends_and_the_service_serves_on(
    addresses: Mapping[str, str], service: str, headers: list[tuple[str, bytes]]
) -> None:
    address = addresses[service]
    with grpc.insecure_channel(address, CHANNEL_OPTIONS) as before:
        _assert_serves(before)
        for path in (_CHECK, _UNKNOWN):
            raw_http2.call(address, path, Empty(), headers)
        _assert_serves(before)
    with grpc.insecure_channel(address, CHANNEL_OPTIONS) as after:
        _assert_serves(after)


@pytest.mark.parametrize("service", ["query", "management", "container"])
def test_clients_that_watch_the_health_and_break_off_at_once_keep_nobody_else_from_it(
    addresses: Mapping[str, str], service: str
) -> None:
    def break_off(channel: grpc.Channel) -> None:
        watch: grpc.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(_WATCH)
        for _ in range(_WATCHES):
            call = watch(b"", timeout=PATIENCE_S)
            assert health_pb2.HealthCheckResponse.FromString(next(call)).status == SERVING
            call.cancel()

    with ExitStack() as stack:
        make = functools.partial(grpc.insecure_channel, addresses[service], CHANNEL_OPTIONS)
        channels = [stack.enter_context(make()) for _ in range(_WATCHING_AT_ONCE)]
        pool = stack.enter_context(ThreadPoolExecutor(_WATCHING_AT_ONCE, "watching"))
        list(pool.map(break_off, channels))
        _assert_serves(stack.enter_context(make()))


@pytest.mark.parametrize("service", ["query", "management", "container"])
def test_who_calls_a_method_that_is_not_there_is_told_so(addresses: Mapping[str, str], service: str) -> None:
    with grpc.insecure_channel(addresses[service], CHANNEL_OPTIONS) as channel:
        method: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(_UNKNOWN)
        with pytest.raises(grpc.RpcError) as refused:
            method(b"", timeout=PATIENCE_S)
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
