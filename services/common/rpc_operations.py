"""What is asked of grpcio's core for a call: its operations and how a batch of them is started.

One completion event answers one batch, and an event is what costs, so operations travel together where they can.
Operations that carry nothing of a call's own are shared by all calls.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from grpc._cython import cygrpc  # type: ignore[attr-defined]

from services.common.errors import UNEXPECTED
from services.common.status import OK, RpcStatus

_NO_FLAGS = 0
_MORE_FOLLOWS = cygrpc.WriteFlag.buffer_hint

# grpcio's own classes, for which it ships no types.
Rpc: TypeAlias = Any
Operation: TypeAlias = Any
Event: TypeAlias = Any
Tag: TypeAlias = Callable[[Event], None]


def send_status(status: RpcStatus) -> Operation:
    """The operation that ends a call with `status`."""
    code, message = status.code.value[0], status.message.encode(errors="replace")
    return cygrpc.SendStatusFromServerOperation(status.trailing_metadata, code, message, _NO_FLAGS)


def send_initial_metadata(metadata: tuple[tuple[str, str], ...]) -> Operation:
    """The operation that begins an answer, with what is told of it beforehand; over REST these are headers."""
    return cygrpc.SendInitialMetadataOperation(metadata, _NO_FLAGS)


SEND_INITIAL_METADATA = cygrpc.SendInitialMetadataOperation(None, _NO_FLAGS)
SEND_OK = send_status(OK)


def send_message(message: bytes, *, more_follows: bool = False) -> Operation:
    """The operation that sends one message, which may leave with the next if more follows; TypeError unless bytes."""
    return cygrpc.SendMessageOperation(message, _MORE_FOLLOWS if more_follows else _NO_FLAGS)


def receive_message() -> Operation:
    """The operation that receives one message; `received` reads it from the event."""
    return cygrpc.ReceiveMessageOperation(_NO_FLAGS)


def received(event: Event) -> bytes | None:
    """The message that an event brings; None when there is none because the client closed its side or is gone."""
    message: bytes | None = event.batch_operations[0].message()
    return message


def receive_close() -> Operation:
    """The operation that completes when the call is over for the client, answered or not."""
    return cygrpc.ReceiveCloseOnServerOperation(_NO_FLAGS)


def start(rpc: Rpc, operations: tuple[Operation, ...], tag: Tag | None) -> None:
    """Start one batch; its event brings `tag`. ValueError when the core refuses, as it does for illegal metadata."""
    error = rpc.start_server_batch(operations, tag)
    if error != cygrpc.CallError.ok:
        raise ValueError(f"grpcio refused a batch of operations (call error {error})")


def break_off(rpc: Rpc) -> None:
    """Cancel a call that can no longer be ended properly."""
    rpc.cancel(cygrpc.StatusCode.internal, UNEXPECTED)
