"""How a query service starts, drains and ends."""

import gc
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from clipper.v1 import query_service_pb2, query_service_pb2_grpc

from services.common.names import QUERY_SERVICE
from services.query.engine.requests import Request
from services.query.server import QueryServer
from services.query.settings import Settings
from tests.fixtures import model_containers
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
from tests.fixtures.waiting import wait_until


def test_watchers_hear_of_the_drain_before_calls_are_refused(redis_server: RedisServer, tmp_path: Path) -> None:
    with QueryServiceProcess(redis_server, tmp_path, lame_duck_s="2") as service:
        watch, process_watch = service.watch_health(QUERY_SERVICE), service.watch_health("")
        assert next(watch).status == next(process_watch).status == SERVING
        service.process.terminate()
        assert next(watch).status == NOT_SERVING
        call = service.stub().Predict.future(request("no such", [[1.0]]), timeout=PATIENCE_S)
        assert call.code() is grpc.StatusCode.NOT_FOUND
        assert list(watch) == list(process_watch) == []
        assert service.end() == 0


@pytest.fixture
def busy(redis_server: RedisServer) -> Iterator[threading.Event]:
    """An application "app" whose model answers once the event is set."""
    may_answer = threading.Event()

    def wait(inputs: Any) -> list[str]:
        may_answer.wait(PATIENCE_S)
        return ["done"] * len(inputs)

    registry = Registry(redis_server)
    registry.add_application("app", "m", slo_s=PATIENCE_S)
    registry.add_version("m", "1", batch_size=2)
    with model_containers.serving(wait) as container:
        registry.add_replica("m", "1", 0, container.address)
        yield may_answer
        may_answer.set()


def _ask_ten(service: QueryServiceProcess) -> list[Any]:
    """Ten calls that the service has accepted."""
    calls = [service.stub().Predict.future(request("app", [[float(number)]])) for number in range(10)]
    service.health("")
    return calls


def _latecomer(service: QueryServiceProcess) -> grpc.StatusCode:
    """How a short call on a new connection ends."""
    with grpc.insecure_channel(service.address, CHANNEL_OPTIONS) as channel:
        stub = query_service_pb2_grpc.QueryServiceStub(channel)
        return stub.Predict.future(request("app", [[-1.0]]), timeout=0.5).code()


def test_accepted_calls_are_answered_while_new_ones_are_refused(
    redis_server: RedisServer, tmp_path: Path, busy: threading.Event
) -> None:
    with QueryServiceProcess(redis_server, tmp_path, lame_duck_s="0") as service:
        watch = service.watch_health(QUERY_SERVICE)
        calls = _ask_ten(service)
        service.process.terminate()
        assert [each.status for each in watch] == [SERVING, NOT_SERVING]
        wait_until(lambda: _latecomer(service) is grpc.StatusCode.UNAVAILABLE)
        busy.set()
        assert [call.result().predictions[0].output for call in calls] == ["done"] * 10
        assert service.end() == 0


@pytest.mark.usefixtures("busy")
def test_the_drain_ends_with_its_grace(redis_server: RedisServer, tmp_path: Path) -> None:
    with QueryServiceProcess(redis_server, tmp_path, lame_duck_s="0", drain_grace_s="0.3") as service:
        calls = _ask_ten(service)
        terminated_s = time.monotonic()
        service.process.terminate()
        assert service.end() == 0
        assert 0.3 <= time.monotonic() - terminated_s < 0.75 * PATIENCE_S
        assert all(call.code() is not grpc.StatusCode.OK for call in calls)


def test_a_second_signal_cuts_the_drain_short(redis_server: RedisServer, tmp_path: Path) -> None:
    with QueryServiceProcess(redis_server, tmp_path, lame_duck_s="600") as service:
        watch = service.watch_health(QUERY_SERVICE)
        assert next(watch).status == SERVING
        service.process.terminate()
        assert next(watch).status == NOT_SERVING
        service.process.send_signal(signal.SIGINT)
        assert service.end() == 128 + signal.SIGINT


@pytest.fixture
def collector() -> Iterator[None]:
    """Gives the garbage collector back as it was: a query service sets it up for its process."""
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()
    gc.collect()


@pytest.mark.usefixtures("collector")
def test_a_closed_service_leaves_no_thread_and_no_socket_and_may_be_closed_again(redis_server: RedisServer) -> None:
    def live_and_die() -> int:
        server = QueryServer(Settings(redis_server.url, "127.0.0.1:0", lame_duck_s=0.0))
        server.close()
        server.close()
        return len(os.listdir("/proc/self/fd"))

    threads = set(threading.enumerate())
    # The first one in a process opens what grpcio keeps open.
    open_files = live_and_die()
    # What other tests have left may still be closing, or its threads ending.
    wait_until(lambda: live_and_die() <= open_files)
    wait_until(lambda: live_and_die() <= open_files)
    wait_until(lambda: set(threading.enumerate()) <= threads)


def _pipelined(*questions: query_service_pb2.PredictRequest) -> Iterator[query_service_pb2.PredictStreamRequest]:
    for number, question in enumerate(questions):
        yield query_service_pb2.PredictStreamRequest(request_id=number, request=question)


def _predict_by_calls_and_streams(address: str, inputs: int) -> None:
    """Calls, a stream whose requests the model answers or one comes too late for, one given up before its answer."""
    asked = [request("app", [[float(number)]]) for number in range(inputs)]
    with grpc.insecure_channel(address, CHANNEL_OPTIONS) as channel:
        stub = query_service_pb2_grpc.QueryServiceStub(channel)
        calls = [stub.Predict.future(question, timeout=PATIENCE_S) for question in asked]
        answers = list(stub.PredictStream(_pipelined(*asked, request("hasty", [[1.0]] * inputs))))
        given_up = stub.PredictStream(_pipelined(request("patient", [[1.0]] * inputs), asked[0]))
        assert next(given_up).request_id == 1
        given_up.cancel()
        assert [call.result().predictions[0].output for call in calls] == ["done"] * inputs
    assert len(answers) == inputs + 1
    assert all(prediction.is_default for prediction in answers[-1].response.predictions)


@pytest.mark.usefixtures("collector")
def test_answered_requests_are_freed_without_the_garbage_collector(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    registry = Registry(redis_server)
    registry.add_application("app", "m")
    registry.add_application("hasty", "slow", slo_s=0.2)
    registry.add_application("patient", "slow", slo_s=PATIENCE_S)
    registry.add_version("m", "1")
    registry.add_version("slow", "1")
    may_answer = threading.Event()

    def done(inputs: Any) -> list[str]:
        return ["done"] * len(inputs)

    def wait(inputs: Any) -> list[str]:
        may_answer.wait(PATIENCE_S)
        return done(inputs)

    with model_containers.serving(done) as container, model_containers.serving(wait) as slow:
        registry.add_replica("m", "1", 0, container.address)
        registry.add_replica("slow", "1", 0, slow.address)
        caplog.set_level(logging.INFO, logger="services.query")
        server = QueryServer(Settings(redis_server.url, "127.0.0.1:0", lame_duck_s=0.0))
        (port,) = (vars(record)["port"] for record in caplog.records if record.message == "serving")
        gc.disable()
        try:
            _predict_by_calls_and_streams(f"127.0.0.1:{port}", 100)
            may_answer.set()
            wait_until(lambda: not any(type(thing) is Request for thing in gc.get_objects()))
        finally:
            gc.enable()
            may_answer.set()
            server.close()


def test_a_service_that_starts_before_redis_serves_once_redis_is_there(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    redis_server.kill()
    with QueryServiceProcess(redis_server, tmp_path) as service:
        wait_until(lambda: any(line["level"] == "WARNING" for line in service.log()), within_s=PATIENCE_S)
        redis_server.start()
        assert service.health(QUERY_SERVICE) == SERVING


@pytest.mark.parametrize(
    ("variable", "value", "code"),
    [("redis_url", "", 2), ("cache_size_bytes", "much", 2), ("address", "203.0.113.1:7000", 1)],
)
def test_a_service_that_cannot_start_says_why_and_ends(
    redis_server: RedisServer, tmp_path: Path, variable: str, value: str, code: int
) -> None:
    service = QueryServiceProcess(redis_server, tmp_path, **{variable: value})
    assert service.end() == code
    (log,) = tmp_path.glob("query-*.log")
    assert (value or "CLIPPER_REDIS_URL") in log.read_text()
    assert "Traceback" not in log.read_text()
