"""The interceptor through which every exception of an RPC becomes its status, and nothing else does."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import grpc
import grpc.aio

from services.common import status

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"
Context = grpc.aio.ServicerContext[Any, Any]


class StatusInterceptor(grpc.aio.ServerInterceptor):
    """Ends failed RPCs of one service with the status of their exception.

    Other services on the same server (health, reflection) end their RPCs themselves.

    Args:
        service: the full name of the service.
    """

    def __init__(self, service: str) -> None:
        self._methods = f"/{service}/"

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """The handler of an RPC, guarded."""
        handler = await continuation(handler_call_details)
        if handler is None or not handler_call_details.method.startswith(self._methods):
            return handler
        if handler.stream_stream:
            return grpc.stream_stream_rpc_method_handler(
                _guarded_stream(handler.stream_stream), handler.request_deserializer, handler.response_serializer
            )
        return grpc.unary_unary_rpc_method_handler(
            _guarded(handler.unary_unary), handler.request_deserializer, handler.response_serializer
        )


def _guarded(method: Any) -> Any:
    async def guarded(request: Any, context: Context) -> Any:
        try:
            return await method(request, context)
        except Exception as error:
            await _abort(context, error)

    return guarded


def _guarded_stream(method: Any) -> Any:
    async def guarded(requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
        try:
            async for response in method(requests, context):
                yield response
        except Exception as error:
            await _abort(context, error)

    return guarded


async def _abort(context: Context, error: Exception) -> None:
    ending = status.from_exception(error)
    await context.abort(ending.code, ending.message, ending.trailing_metadata)
