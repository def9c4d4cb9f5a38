"""The server of grpc.aio, but that no call ends it, whatever its path is.

grpcio decodes the path of a call as UTF-8 in the loop that takes all calls, unless its method is registered. Where that
fails the loop ends, and with it the server, in a process that lives on. The core knows registered methods by their
bytes. So all methods are registered, and calls of any other are refused here, without a look at their path.

Like `services/query/front/`, whose docstring has the pinned range of grpcio, this module touches grpcio's internals;
tests/integration/test_hostile_calls.py is the contract.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, NoReturn

import grpc.aio
from grpc._cython import cygrpc  # type: ignore[attr-defined]
from grpc.aio import _server

from services.common.lifecycle import end_with


def aio_server(
    interceptors: Sequence[grpc.aio.ServerInterceptor], options: Sequence[tuple[str, int]]
) -> grpc.aio.Server:
    """A server for methods that are registered with it, as generated code does."""
    server: grpc.aio.Server = _Server(interceptors, options)
    return server


class _Server(_server.Server):  # type: ignore[misc]
    def __init__(self, interceptors: Sequence[grpc.aio.ServerInterceptor], options: Sequence[tuple[str, int]]) -> None:
        self._loop = cygrpc.get_working_loop()
        self._server = _Core(self._loop, None, (), tuple(interceptors), tuple(options), None)


class _Core(cygrpc.AioServer):  # type: ignore[misc]
    async def _request_call(self) -> NoReturn:
        """Takes the calls of methods that are not registered, and refuses them; raises when the server is stopped.

        What else ends it ends the process: grpcio would stop its server, and may corrupt the interpreter's memory.
        """
        try:
            await self._refuse_unregistered()
        except (cygrpc._RequestCallError, asyncio.CancelledError):
            raise
        except BaseException as error:
            end_with("the server", error)

    async def _refuse_unregistered(self) -> NoReturn:
        loop = asyncio.get_running_loop()
        refusals = set[asyncio.Task[None]]()
        while True:
            call = await super()._request_call()
            handling = cygrpc._handle_rpc("", _NoMethods(), (), call, loop, False)
            refusal = loop.create_task(cygrpc._schedule_rpc_coro(handling, call, loop, ""), name="refusal")
            refusals.add(refusal)
            refusal.add_done_callback(refusals.discard)


class _NoMethods:
    def resolve_handler(self, _details: Any) -> None:
        """No method has a handler."""
