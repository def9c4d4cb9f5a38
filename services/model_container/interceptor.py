"""The interceptor that tells a client of grpcio's own services what is wrong with its call."""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TypeAlias

import grpc
from google.protobuf.message import DecodeError

from services.common import status
from services.common.errors import InvalidInput

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"
_Read: TypeAlias = Callable[[bytes, grpc.ServicerContext], Any]


class UnreadableInterceptor(grpc.ServerInterceptor):
    """Ends an RPC whose message cannot be read with INVALID_ARGUMENT, and one that they lack with UNIMPLEMENTED.

    grpcio would call both an error of the server.
    """

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Handler],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """The handler of an RPC, which decodes its messages itself."""
        handler = continuation(handler_call_details)
        if handler is None:
            return None
        read = _reader(handler_call_details.method, handler.request_deserializer)
        serialize = handler.response_serializer
        if handler.stream_stream:
            reading = _reading_stream(handler.stream_stream, read)
            return grpc.stream_stream_rpc_method_handler(reading, response_serializer=serialize)
        if handler.unary_stream:
            reading = _reading(handler.unary_stream, read)
            return grpc.unary_stream_rpc_method_handler(reading, response_serializer=serialize)
        return grpc.unary_unary_rpc_method_handler(_reading(handler.unary_unary, read), response_serializer=serialize)


def _reader(method: str, decode: Callable[[bytes], Any] | None) -> _Read:
    def read(message: bytes, context: grpc.ServicerContext) -> Any:
        try:
            return decode(message) if decode else message
        except DecodeError:
            return _abort(context, InvalidInput(f"This is not a request of {method}"))

    return read


def _abort(context: grpc.ServicerContext, error: Exception) -> NoReturn:
    ending = status.from_exception(error)
    context.set_trailing_metadata(ending.trailing_metadata)
    context.abort(ending.code, ending.message)


def _reading(method: Any, read: _Read) -> Any:
    # What grpcio's health service tells its server stands in attributes of its method.
    @functools.wraps(method)
    def reading(message: bytes, context: grpc.ServicerContext, *more: Any) -> Any:
        try:
            return method(read(message, context), context, *more)
        except NotImplementedError:
            # That of grpcio's own servicers, for a method of their contract that they do not have.
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "The model container does not have this method")

    return reading


def _reading_stream(method: Any, read: _Read) -> Any:
    @functools.wraps(method)
    def reading(messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[Any]:
        return method((read(message, context) for message in messages), context)  # type: ignore[no-any-return]

    return reading
