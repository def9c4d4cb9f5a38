"""Health tells the truth: a query service that does not follow its configuration does not say that it serves."""

import os
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.common.names import QUERY_SERVICE
from tests.fixtures.query_services import (
    CHANNEL_OPTIONS,
    NOT_SERVING,
    PATIENCE_S,
    SERVING,
    QueryServiceProcess,
    Registry,
    request,
)
from tests.fixtures.redis_server import RedisServer
from tests.fixtures.vandal import Vandal
from tests.fixtures.waiting import wait_until

FAILED = "the background task follow the store ended and is started again"
# Longer than it takes a service to say that it is behind.
_LONG_S = 5.0


@pytest.fixture
def registry(redis_server: RedisServer) -> Registry:
    """A configuration with the application "app", whose default output is an answer, too."""
    registry = Registry(redis_server)
    registry.add_application("app", None)
    return registry


def _answers(service: QueryServiceProcess, application: str = "app") -> bool:
    try:
        return bool(service.stub().Predict(request(application, [[1.0]]), timeout=PATIENCE_S).predictions)
    except grpc.RpcError:
        return False


def test_who_cannot_follow_though_redis_answers_serves_on_but_says_so(
    redis_server: RedisServer, registry: Registry, tmp_path: Path
) -> None:
    with QueryServiceProcess(redis_server, tmp_path) as service:
        service.expected_errors.add(FAILED)
        watch = service.watch_health(QUERY_SERVICE)
        assert next(watch).status == SERVING
        vandal = Vandal(redis_server)
        revision = vandal.set("revision", "nonsense")
        # So that the service has to look.
        vandal.append_at("*")
        assert next(watch).status == NOT_SERVING
        assert service.health(QUERY_SERVICE) == NOT_SERVING
        assert service.health("") == SERVING
        assert _answers(service)
        vandal.set("revision", revision)
        assert next(watch).status == SERVING
        registry.add_application("later", None)
        wait_until(lambda: _answers(service, "later"))
        watch.cancel()


def test_a_configuration_that_redis_refuses_to_tell_is_not_followed(
    redis_server: RedisServer, registry: Registry, tmp_path: Path
) -> None:
    with QueryServiceProcess(redis_server, tmp_path) as service:
        assert service.health(QUERY_SERVICE) == SERVING
        vandal = Vandal(redis_server)
        vandal.replace_by_text("replicas")
        vandal.append({"changes": "nonsense"})
        service.expected_errors.add("a change cannot be read; taking a new snapshot")
        wait_until(lambda: service.health(QUERY_SERVICE) == NOT_SERVING)
        assert _answers(service)
        vandal.remove("replicas")
        wait_until(lambda: service.health(QUERY_SERVICE) == SERVING)


def test_an_outage_of_redis_is_no_reason_to_stop_serving(
    redis_server: RedisServer, registry: Registry, tmp_path: Path
) -> None:
    with QueryServiceProcess(redis_server, tmp_path) as service:
        stub: Any = health_pb2_grpc.HealthStub(service.channel())
        watch = stub.Watch(health_pb2.HealthCheckRequest(service=QUERY_SERVICE), timeout=_LONG_S)
        assert next(watch).status == SERVING
        redis_server.kill()
        with pytest.raises(grpc.RpcError) as ended:
            next(watch)
        assert ended.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert _answers(service)


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """The pipe that the module of a policy waits for while it is imported."""
    path = tmp_path / "gate"
    os.mkfifo(path)
    return path


def _freeze(registry: Registry) -> None:
    """Registers an application whose policy stops the catalogue of who imports it."""
    registry.add_choice("slow", "tests.fixtures.gated_policy:Slow", "m")


def test_a_catalogue_that_stands_still_is_noticed(
    redis_server: RedisServer, registry: Registry, tmp_path: Path, gate: Path
) -> None:
    variables = {"policy_prefixes": "tests.fixtures.gated_policy", "gate": str(gate)}
    with QueryServiceProcess(redis_server, tmp_path, **variables) as service:
        assert service.health(QUERY_SERVICE) == SERVING
        _freeze(registry)
        wait_until(lambda: service.health(QUERY_SERVICE) == NOT_SERVING)
        assert _answers(service)
        gate.write_text("go on")
        wait_until(lambda: service.health(QUERY_SERVICE) == SERVING)
        wait_until(lambda: _answers(service, "slow"))


def test_a_service_of_several_processes_serves_when_all_of_them_follow(
    redis_server: RedisServer, registry: Registry, tmp_path: Path, gate: Path
) -> None:
    variables = {
        "processes": "2",
        "policy_prefixes": "tests.fixtures.gated_policy",
        "gate": str(gate),
        "gate_for_one": str(tmp_path / "claim"),
    }
    with QueryServiceProcess(redis_server, tmp_path, **variables) as service:
        assert _healths(service) == {SERVING}
        _freeze(registry)
        # One of them waits; connections are spread over both.
        wait_until(lambda: _healths(service) == {NOT_SERVING})
        gate.write_text("go on")
        wait_until(lambda: _healths(service) == {SERVING})


def _healths(service: QueryServiceProcess) -> set[int]:
    """What is told on several new connections."""
    told = set()
    for _ in range(12):
        with grpc.insecure_channel(service.address, CHANNEL_OPTIONS) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            told.add(stub.Check(health_pb2.HealthCheckRequest(service=QUERY_SERVICE), timeout=PATIENCE_S).status)
    return told
