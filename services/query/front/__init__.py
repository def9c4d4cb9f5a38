"""The gRPC server of the query service's hot path: a small loop of our own on grpcio's completion queue.

Why not grpcio's own servers: they stand on the same queue (`grpc._cython.cygrpc`), but half of what grpc.aio costs is
waking one thread from another. On two shared cores (grpcio 1.85.1, Python 3.11, 80 bytes there and back, one
connection, 64 calls in flight) a no-op server on grpc.aio answers 3,800 requests/s at 360 µs of CPU each; this one
answers 30,000 at 50 µs, and 24,000 at 60 µs when every call watches for its client to go away.

Pinned range: grpcio == 1.85.1. This package, `services/query/replicas/stream_client.py`, the container's
`batch_streams.py`, `services/common/rpc_operations.py` and `services/management/aio_server.py` are the only modules
that touch grpcio's internals, so an upgrade is tried there first: tests/integration/test_front*.py,
test_stream_client.py, test_model_container.py and test_hostile_calls.py are the contract, over real sockets, and fail
loudly when an upgrade breaks it.

    server.py      Front: the server, its thread, its drain
    poller.py      Poller: the thread that does the core's work on the connections
    clock_watch.py ClockWatch: the thread that notices when the wall clock is set
    turn_watch.py  TurnWatch: the thread that ends the process when the front's thread never comes back
    loop.py        Loop: what that thread does: events, callbacks from other threads, a timer
    call.py        Call: one RPC in progress; UnaryCall: one request, one reply
    stream.py      StreamCall: a call with any number of messages both ways, and its back-pressure
"""

from services.query.front.call import Call, UnaryCall, UnaryHandler
from services.query.front.loop import Loop
from services.query.front.server import Front
from services.query.front.stream import StreamCall, StreamHandler, StreamHandlerFactory

__all__ = ["Call", "Front", "Loop", "StreamCall", "StreamHandler", "StreamHandlerFactory", "UnaryCall", "UnaryHandler"]
