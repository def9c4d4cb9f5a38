"""What a container's health check finds out, and what it says of it."""

import os
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

SERVICE = "clipper.v1.SomeService"
_SCRIPT = Path(__file__).parents[2] / "deploy" / "images" / "health_check.sh"
_MOST_CPU_S = 0.02


@pytest.fixture
def statuses() -> health.HealthServicer:
    return health.HealthServicer()


@pytest.fixture
def port(statuses: health.HealthServicer) -> Iterator[int]:
    server = grpc.server(ThreadPoolExecutor(1))
    health_pb2_grpc.add_HealthServicer_to_server(statuses, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    server.stop(grace=None).wait()


def check(port: int, service: str = SERVICE) -> tuple[int, str]:
    """The check's exit status and what it says."""
    done = subprocess.run(
        [_SCRIPT, service],
        env={**os.environ, "CLIPPER_ADDRESS": f"0.0.0.0:{port}"},
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    return done.returncode, done.stdout.strip()


def test_a_service_that_serves_is_healthy(statuses: health.HealthServicer, port: int) -> None:
    statuses.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)

    assert check(port) == (0, "")
    assert check(port, "") == (0, "")


def test_a_service_that_drains_is_not_healthy(statuses: health.HealthServicer, port: int) -> None:
    statuses.set(SERVICE, health_pb2.HealthCheckResponse.NOT_SERVING)

    assert check(port) == (1, f"{SERVICE} says NOT_SERVING; its log says why")


def test_a_service_that_the_server_does_not_have_is_not_healthy(port: int) -> None:
    assert check(port, "clipper.v1.Another") == (1, f"the server at port {port} does not have clipper.v1.Another")


def test_nothing_that_listens_is_not_healthy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    assert check(port) == (1, f"nothing listens at port {port}")


def test_a_server_that_says_nothing_is_not_healthy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        status, text = check(port)

    assert status == 1
    assert text.startswith(f"the server at port {port} said nothing for")


def test_a_check_costs_next_to_no_processor_time(statuses: health.HealthServicer, port: int) -> None:
    statuses.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)
    before = os.times()

    for _ in range(10):
        assert check(port) == (0, "")

    after = os.times()
    spent_s = after.children_user + after.children_system - before.children_user - before.children_system
    assert spent_s / 10 < _MOST_CPU_S
