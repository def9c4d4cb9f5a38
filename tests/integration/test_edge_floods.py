"""Envoy under clients that fill it up or keep it busy: they lose what they sent, and everybody else is served."""

import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import requests
from clipper.v1 import management_service_pb2, query_service_pb2

from clipper_admin.edge import EdgeSettings
from clipper_admin.hosts.process import ports
from tests.fixtures.edges import PATIENCE_S, Edge, echo_server, envoy, resident_bytes
from tests.fixtures.floods import HalfSent, connected, reset_rapidly
from tests.fixtures.raw_http2 import is_taken_for_a_flood
from tests.fixtures.waiting import wait_until

MIB = 1 << 20
BODY_TIMEOUT_S = 2
CONNECTIONS = 100
HEAP_BYTES = 200 * MIB
# What a process takes that is not heap: Envoy's program and its tables.
BESIDE_THE_HEAP_BYTES = 80 * MIB
# What millions of calls that were taken back leave with the allocator, however long they go on: 330 to 550 MiB.
LEFT_BY_RESETS_BYTES = 768 * MIB


@pytest.fixture(scope="module")
def small_edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """Envoy with little memory and little patience in front of an echo service."""
    [port] = ports.free_ports(1)
    address = ports.address(port)
    settings = EdgeSettings(heap_bytes=HEAP_BYTES, connections=CONNECTIONS, body_timeout_s=BODY_TIMEOUT_S)
    with echo_server(port), envoy(tmp_path_factory.mktemp("small"), [address], address, settings) as running:
        yield running


def is_served(edge: Edge) -> bool:
    """Whether somebody who comes anew is answered."""
    try:
        return requests.post(f"http://{edge.query}/app/predict", data=b"{}", timeout=PATIENCE_S).ok
    except requests.RequestException:
        return False


def test_bodies_that_drip_are_cut_off_with_the_limit_and_nobody_else_notices(small_edge: Edge) -> None:
    began_s = time.monotonic()
    with HalfSent(small_edge.query, 60, begin=b"[", drip=b"1") as slow:
        assert is_served(small_edge)
        wait_until(lambda: len(slow.endings) == 60)
        cut_s = time.monotonic()

    assert cut_s - began_s > BODY_TIMEOUT_S
    assert all(ending.startswith(b"HTTP/1.1 408") for ending in slow.endings)
    assert all(f"did not arrive within {BODY_TIMEOUT_S} seconds".encode() in ending for ending in slow.endings)


def test_a_body_that_drips_is_cut_off_by_the_administration_too(small_edge: Edge) -> None:
    with connected(small_edge.admin) as connection:
        connection.sendall(b"POST /admin/add_app HTTP/1.1\r\nhost: clipper\r\ncontent-length: 100\r\n\r\n{")
        assert connection.recv(4096).startswith(b"HTTP/1.1 408")


def test_large_bodies_that_never_end_take_no_more_memory_than_envoy_may_have(tmp_path: Path) -> None:
    [port] = ports.free_ports(1)
    address = ports.address(port)
    settings = EdgeSettings(heap_bytes=HEAP_BYTES)
    peak = 0
    with echo_server(port), envoy(tmp_path, [address], address, settings) as edge:
        with HalfSent(edge.query, 40, begin=b" " * (14 * MIB), drip=b" ") as flood:
            until_s = time.monotonic() + 4
            while time.monotonic() < until_s:
                peak = max(peak, resident_bytes(edge))
                time.sleep(0.05)
            wait_until(lambda: is_served(edge))
        wait_until(lambda: is_served(edge))

    assert len(flood.endings) > 40 - HEAP_BYTES // (14 * MIB)
    assert peak < HEAP_BYTES + BESIDE_THE_HEAP_BYTES


def test_of_more_connections_than_there_may_be_the_last_are_closed_and_the_first_are_served(small_edge: Edge) -> None:
    with ExitStack() as stack:
        crowd = [stack.enter_context(connected(small_edge.query)) for _ in range(2 * CONNECTIONS)]
        wait_until(lambda: sum(map(is_closed, crowd)) >= CONNECTIONS)
        crowd[0].sendall(b"GET /metrics HTTP/1.1\r\nhost: clipper\r\n\r\n")
        assert crowd[0].recv(4096).startswith(b"HTTP/1.1 200")

    wait_until(lambda: is_served(small_edge))


def test_connections_never_take_the_last_file_that_envoy_may_open(tmp_path: Path) -> None:
    [port] = ports.free_ports(1)
    address = ports.address(port)
    files = 400
    with echo_server(port), envoy(tmp_path, [address], address, EdgeSettings().within(files)) as edge:
        resource.prlimit(edge.pid, resource.RLIMIT_NOFILE, (files, files))
        with ExitStack() as stack:
            crowd = [stack.enter_context(connected(edge.query)) for _ in range(2 * files)]
            for connection in crowd:
                with suppress(OSError):
                    connection.sendall(b"POST /app/predict HTTP/1.1\r\nhost: clipper\r\ncontent-length: 2\r\n\r\n{}")
            wait_until(lambda: sum(map(is_closed, crowd)) >= files)
        wait_until(lambda: is_served(edge))


def is_closed(connection: socket.socket) -> bool:
    """Whether the server has closed a connection that it was sent nothing on."""
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        connection.settimeout(PATIENCE_S)


# gRPC's core acknowledges each of many small answers that Envoy has sent in one frame.
@pytest.mark.parametrize("port", ["query", "admin"])
def test_a_client_that_acknowledges_hundreds_of_answers_one_by_one_is_no_flood(small_edge: Edge, port: str) -> None:
    address, path, request = {
        "query": (small_edge.query, "/clipper.v1.QueryService/Predict", query_service_pb2.PredictRequest()),
        "admin": (small_edge.admin, "/clipper.v1.ManagementService/Ping", management_service_pb2.PingRequest()),
    }[port]
    assert not is_taken_for_a_flood(address, path, request, acknowledgements=500)
    assert is_taken_for_a_flood(address, path, request, acknowledgements=50_000)


def test_millions_of_calls_that_are_begun_and_taken_back_take_bounded_memory_and_others_are_served(
    tmp_path: Path,
) -> None:
    [port] = ports.free_ports(1)
    address = ports.address(port)
    with echo_server(port), envoy(tmp_path, [address], address, EdgeSettings(heap_bytes=HEAP_BYTES)) as edge:
        calls = reset_rapidly(edge.query, 100, duration_s=3)
        wait_until(lambda: is_served(edge))
        after = resident_bytes(edge)

    assert calls > 1000
    assert after < LEFT_BY_RESETS_BYTES
