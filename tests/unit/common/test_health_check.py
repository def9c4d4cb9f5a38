"""What a container's health check finds out, from servers of grpcio's and of our own."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from services.common.health_check import is_serving

SERVICE = "clipper.v1.SomeService"


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


def exit_status(port: int) -> int:
    return subprocess.run(
        [sys.executable, "-m", "services.common.health_check", SERVICE],
        env={**os.environ, "CLIPPER_ADDRESS": f"0.0.0.0:{port}"},
    ).returncode


def test_a_service_that_serves_is_healthy(statuses: health.HealthServicer, port: int) -> None:
    statuses.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)

    assert is_serving(port, SERVICE)
    assert is_serving(port, "")
    assert exit_status(port) == 0


def test_a_service_that_drains_is_not_healthy(statuses: health.HealthServicer, port: int) -> None:
    statuses.set(SERVICE, health_pb2.HealthCheckResponse.NOT_SERVING)

    assert not is_serving(port, SERVICE)
    assert exit_status(port) == 1


def test_a_service_that_the_server_does_not_have_is_not_healthy(port: int) -> None:
    assert not is_serving(port, "clipper.v1.Another")


def test_nothing_that_listens_is_not_healthy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    assert not is_serving(port, SERVICE)


def test_a_server_that_says_nothing_is_not_healthy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert not is_serving(silent.getsockname()[1], SERVICE)
