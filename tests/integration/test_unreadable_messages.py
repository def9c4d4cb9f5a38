"""Messages that are none, to every method of every service: INVALID_ARGUMENT in the house's words, and life goes on."""

import functools
import random
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import Any

import grpc
import pytest
from clipper.v1 import management_service_pb2, model_container_service_pb2, query_service_pb2
from google.protobuf import message_factory
from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from tests.fixtures import management
from tests.fixtures.query_services import CHANNEL_OPTIONS, PATIENCE_S, SERVING, refusal
from tests.fixtures.services import services

_MIB = 1 << 20
_CONTRACTS = {
    "query": query_service_pb2, "management": management_service_pb2, "container": model_container_service_pb2
}  # fmt: skip
# The query service has no Health.List, and asked for its metrics it reads nothing.
_EXCEPT = {("query", "List"), ("query", "GetMetrics")}
_METHODS = [
    (name, f"/{method.containing_service.full_name}/{method.name}", method.input_type)
    for name, contract in _CONTRACTS.items()
    for module in (contract, health_pb2, reflection_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
    if (name, method.name) not in _EXCEPT
]
_IDS = [f"{service} {path.rpartition('/')[2]}" for service, path, _kind in _METHODS]


@pytest.fixture(scope="module")
def channels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, grpc.Channel]]:
    """A channel to each kind of service."""
    with ExitStack() as stack:
        addresses = stack.enter_context(services(tmp_path_factory.mktemp("services")))
        options = (*CHANNEL_OPTIONS, ("grpc.max_send_message_length", -1))
        yield {
            name: stack.enter_context(grpc.insecure_channel(address, options)) for name, address in addresses.items()
        }


def _call(channel: grpc.Channel, path: str, messages: Iterable[bytes]) -> list[bytes]:
    """What a method answers to bytes; to a server a unary call is a stream of one message."""
    method: grpc.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(path)
    return list(method(iter(messages), timeout=PATIENCE_S))


def _assert_alive(channel: grpc.Channel) -> None:
    (answer,) = _call(channel, "/grpc.health.v1.Health/Check", [b""])
    assert health_pb2.HealthCheckResponse.FromString(answer).status == SERVING


def _unreadable(kind: Any) -> Iterator[bytes]:
    """Bytes that are no message of this kind: cut off, not UTF-8 where that is asked for, and by chance."""
    message_class = message_factory.GetMessageClass(kind)
    randomness = random.Random(kind.full_name)
    for message in (b"\xff" * 20, b"\x0a\x05ab", b"\x0b", *(randomness.randbytes(40) for _ in range(20))):
        try:
            message_class.FromString(message)
        except DecodeError:
            yield message


@pytest.mark.parametrize(("service", "path", "kind"), _METHODS, ids=_IDS)
def test_a_message_that_is_none_is_the_callers_fault(
    channels: dict[str, grpc.Channel], service: str, path: str, kind: Any
) -> None:
    channel = channels[service]
    for message in _unreadable(kind):
        refused = refusal(functools.partial(_call, channel, path, [message]))
        assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_INPUT")
        assert refused.message.startswith(("This is not a", "The request is not a"))
        assert "rror" not in refused.message
    _assert_alive(channel)


@pytest.mark.parametrize("path", [path for service, path, _kind in _METHODS if service == "management"])
def test_a_message_to_management_above_the_size_limit_is_refused_as_that(
    channels: dict[str, grpc.Channel], path: str
) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        _call(channels["management"], path, [bytes(4 * _MIB + 1)])
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    _assert_alive(channels["management"])


def test_a_lease_ends_with_a_message_that_is_none(channels: dict[str, grpc.Channel]) -> None:
    opening = management.applicant().SerializeToString()
    path = "/clipper.v1.ManagementService/HoldReplicaLease"
    refused = refusal(lambda: _call(channels["management"], path, [opening, b"\xff\xff"]))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.message.startswith(f"This is not a request of {path}")


def test_what_the_watch_of_a_container_tells_is_told_without_a_thread_for_each(
    channels: dict[str, grpc.Channel],
) -> None:
    watch: grpc.StreamStreamMultiCallable[bytes, bytes]
    watch = channels["container"].stream_stream("/grpc.health.v1.Health/Watch")
    watches = [watch(iter([b""]), timeout=PATIENCE_S) for _ in range(12)]
    for each in watches:
        assert health_pb2.HealthCheckResponse.FromString(next(each)).status == SERVING
    assert sum(thread.name.startswith("rpc_") for thread in threading.enumerate()) < 12
    for each in watches:
        each.cancel()
    _assert_alive(channels["container"])
