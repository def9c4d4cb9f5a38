"""A query service that has just gone, and that Envoy does not know to be gone: nobody is sent to it twice."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import grpc

from clipper_admin.hosts.process import ports
from tests.fixtures.edges import PATIENCE_S, echo_server, envoy
from tests.fixtures.waiting import wait_until

_CALLS = 60
# Chance sends three of four calls to the one that refuses first; were it to choose each time, there were three a call.
_MOST_TRIED_AGAIN = 1.5 * _CALLS
_TRIED_AGAIN = "cluster.query.upstream_rq_retry"


@contextmanager
def takes_one_connection(port: int) -> Iterator[str]:
    """The address of a service that is another one behind its first connection, which is Envoy's for health checks.

    All others are refused.
    """

    def relay(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while received := source.recv(1 << 16):
                target.sendall(received)

    def serve() -> None:
        with listener:
            connection, _ = listener.accept()
        with connection, socket.create_connection(("127.0.0.1", port)) as behind:
            answers = threading.Thread(target=relay, args=(behind, connection), name="answers")
            answers.start()
            relay(connection, behind)
            with suppress(OSError):
                behind.shutdown(socket.SHUT_RDWR)
            answers.join()

    listener = socket.create_server(("127.0.0.1", 0))
    address = "{}:{}".format(*listener.getsockname())
    thread = threading.Thread(target=serve, name="relay")
    thread.start()
    yield address
    thread.join()


def test_a_call_that_was_refused_by_a_service_is_tried_on_another_however_busy_that_is(tmp_path: Path) -> None:
    [port] = ports.free_ports(1)
    with (
        echo_server(port),
        takes_one_connection(port) as going,
        envoy(tmp_path, [ports.address(port), going], ports.address(port)) as edge,
        ExitStack() as calls,
        grpc.insecure_channel(edge.query) as channel,
    ):
        wait_until(lambda: edge.count("cluster.query.membership_healthy") == 2)
        before = edge.count(_TRIED_AGAIN)
        watch: grpc.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream("/grpc.health.v1.Health/Watch")
        for _ in range(_CALLS):
            call = watch(b"", timeout=PATIENCE_S)
            calls.callback(call.cancel)
            next(call)

        assert edge.count(_TRIED_AGAIN) - before <= _MOST_TRIED_AGAIN
