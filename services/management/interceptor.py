"""The interceptor through which every exception of an RPC becomes its status, and nothing else does."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from services.common import status
from services.common.errors import InvalidInput

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"
Context = grpc.aio.ServicerContext[Any, Any]
_Read: TypeAlias = Callable[[bytes], Any]


class StatusInterceptor(grpc.aio.ServerInterceptor):
    """Ends failed RPCs with the status of their exception.

    It has the requests decoded where that can fail like anything else: grpcio would tell a client the class of the
    exception. What a servicer ends itself, as those of health and reflection do, ends as that says, and where grpcio
    fails to end it, since who asked has gone, it knows what to make of that.
    """

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """The handler of an RPC, guarded."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        read = _reader(handler_call_details.method, handler.request_deserializer)
        serialize = handler.response_serializer
        if handler.stream_stream:
            guarded = _guarded_stream(handler.stream_stream, read)
            return grpc.stream_stream_rpc_method_handler(guarded, response_serializer=serialize)
        if handler.unary_stream:
            guarded = _guarded(handler.unary_stream, read)
            return grpc.unary_stream_rpc_method_handler(guarded, response_serializer=serialize)
        return grpc.unary_unary_rpc_method_handler(_guarded(handler.unary_unary, read), response_serializer=serialize)


def _reader(method: str, decode: _Read | None) -> _Read:
    def read(message: bytes) -> Any:
        try:
            return decode(message) if decode else message
        except DecodeError:
            raise InvalidInput(
                f"This is not a request of {method}. If it was JSON, there is an object where a number or text belongs"
            ) from None

    return read


def _guarded(method: Any, read: _Read) -> Any:
    """A method that returns its answer, or writes its answers to the context."""

    async def guarded(message: bytes, context: Context) -> Any:
        try:
            return await method(read(message), context)
        except (grpc.aio.AbortError, grpc.aio.InternalError):
            raise
        except NotImplementedError:
            # That of grpcio's own servicers, for a method of their contract that they do not have.
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "The management service does not have this method")
        except Exception as error:
            await _abort(context, error)

    return guarded


def _guarded_stream(method: Any, read: _Read) -> Any:
    async def guarded(messages: AsyncIterator[bytes], context: Context) -> AsyncIterator[Any]:
        try:
            async for response in method(_each(messages, read), context):
                yield response
        except (grpc.aio.AbortError, grpc.aio.InternalError):
            raise
        except Exception as error:
            await _abort(context, error)

    return guarded


async def _each(messages: AsyncIterator[bytes], read: _Read) -> AsyncIterator[Any]:
    async for message in messages:
        yield read(message)


async def _abort(context: Context, error: Exception) -> None:
    ending = status.from_exception(error)
    await context.abort(ending.code, ending.message, ending.trailing_metadata)
