"""How exceptions of RPCs reach a client, over a real channel."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import grpc
import grpc.aio
import pytest

from services.common.errors import (
    UNEXPECTED,
    AlreadyExists,
    ClipperError,
    Conflict,
    InvalidInput,
    NotFound,
    NotServing,
    StoreUnavailable,
)
from services.management.interceptor import StatusInterceptor
from tests.fixtures.management import Failure, failure, failure_of

KNOWN = [
    (InvalidInput("no"), grpc.StatusCode.INVALID_ARGUMENT, "INVALID_INPUT"),
    (NotFound("no"), grpc.StatusCode.NOT_FOUND, "NOT_FOUND"),
    (AlreadyExists("no"), grpc.StatusCode.ALREADY_EXISTS, "ALREADY_EXISTS"),
    (Conflict("no"), grpc.StatusCode.FAILED_PRECONDITION, "CONFLICT"),
    (StoreUnavailable("no"), grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE"),
    (NotServing("no"), grpc.StatusCode.UNAVAILABLE, "NOT_SERVING"),
]


@asynccontextmanager
async def failing(error: Exception, late: Any = None) -> AsyncIterator[Any]:
    """A channel to a server whose service "guarded" fails with `error`, and whose others end RPCs themselves."""

    async def fail(_request: bytes, _context: Any) -> bytes:
        raise error

    async def answer_and_fail(_requests: AsyncIterator[bytes], _context: Any) -> AsyncIterator[bytes]:
        yield b"first"
        raise error

    async def abort(_request: bytes, context: Any) -> None:
        await context.abort(grpc.StatusCode.DATA_LOSS, "gone")

    server = grpc.aio.server(interceptors=[StatusInterceptor()])
    guarded: dict[str, Any] = {
        "Fail": grpc.unary_unary_rpc_method_handler(fail),
        "AnswerAndFail": grpc.stream_stream_rpc_method_handler(answer_and_fail),
    }
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("guarded", guarded)])
    other: dict[str, Any] = {"Abort": grpc.unary_unary_rpc_method_handler(abort)}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("other", other)])
    own: dict[str, Any] = {"Refuse": grpc.unary_unary_rpc_method_handler(late)}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("late", own)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    await server.stop(None)


@pytest.mark.parametrize(("error", "code", "reason"), KNOWN, ids=lambda each: getattr(each, "reason", ""))
def test_an_error_of_the_tree_reaches_the_client_with_code_reason_and_text(
    error: ClipperError, code: grpc.StatusCode, reason: str
) -> None:
    async def scenario() -> None:
        async with failing(error) as channel:
            assert await failure(channel.unary_unary("/guarded/Fail")(b"")) == Failure(code, reason, "no")

    asyncio.run(scenario())


def test_a_stream_that_fails_keeps_what_it_answered_before() -> None:
    async def scenario() -> None:
        async with failing(Conflict("no")) as channel:
            stream = channel.stream_stream("/guarded/AnswerAndFail")()
            assert await stream.read() == b"first"
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await stream.read()
            assert failure_of(raised.value) == Failure(grpc.StatusCode.FAILED_PRECONDITION, "CONFLICT", "no")

    asyncio.run(scenario())


def test_the_text_of_any_other_exception_goes_to_the_log_alone(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with failing(RuntimeError("the password is 1234")) as channel:
            failed = await failure(channel.unary_unary("/guarded/Fail")(b""))
            assert failed == Failure(grpc.StatusCode.INTERNAL, "INTERNAL", UNEXPECTED)

    asyncio.run(scenario())
    assert "the password is 1234" in caplog.text


def test_who_has_gone_before_it_could_be_refused_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    begun, gone, over = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def refuse_late(_request: bytes, context: Any) -> None:
        begun.set()
        try:
            with suppress(asyncio.CancelledError):
                await gone.wait()
            await context.abort(grpc.StatusCode.NOT_FOUND, "no")
        finally:
            over.set()

    async def scenario() -> None:
        async with failing(RuntimeError(), late=refuse_late) as channel:
            call = channel.unary_unary("/late/Refuse")(b"")
            await begun.wait()
            call.cancel()
            await over.wait()

    asyncio.run(scenario())
    assert "unexpectedly" not in caplog.text


def test_other_services_end_their_rpcs_themselves() -> None:
    async def scenario() -> None:
        async with failing(RuntimeError()) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await channel.unary_unary("/other/Abort")(b"")
            assert raised.value.code() is grpc.StatusCode.DATA_LOSS

    asyncio.run(scenario())


def test_a_long_message_is_cut_to_what_a_client_takes() -> None:
    async def scenario() -> None:
        async with failing(NotFound("é" * 100_000)) as channel:
            failed = await failure(channel.unary_unary("/guarded/Fail")(b""))
            assert failed.code is grpc.StatusCode.NOT_FOUND
            assert failed.message.replace("é", "") == "…"

    asyncio.run(scenario())
