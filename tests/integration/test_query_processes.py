"""A query service of several processes: one service to clients, operators and supervisors."""

import json
import os
import signal
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from clipper.v1 import query_service_pb2, query_service_pb2_grpc

from bench.rig.cores import limited
from clipper_admin.hosts.identity import ProcessIdentity
from services.common.names import QUERY_SERVICE
from services.query.processes.port_claim import PortClaim
from services.query.redis_thread.query_ids import FIRST_BLOCK
from tests.fixtures import model_containers
from tests.fixtures.edges import envoy
from tests.fixtures.query_services import (
    CHANNEL_OPTIONS,
    NOT_SERVING,
    PATIENCE_S,
    SERVING,
    QueryServiceProcess,
    Registry,
    redis_in,
    request,
)
from tests.fixtures.redis_server import RedisServer
from tests.fixtures.waiting import wait_until

# So many connections meet all processes: that they do not is as likely as so many heads in a row.
_CONNECTIONS = 24
# Three missing signs of life, a quarter of a second each, and the way of the news.
_ENDED_WITHIN_S = 1.5
_FROZEN = "a process gives no sign of life and is ended"
# Three seconds of processor time, of which a busy machine gives little.
_TURN_WITHIN_S = 100.0
_NEVER_BACK = "the thread front does not come back, and the process ends"
# Every process takes its query ids from blocks of its own.
_BLOCK_OF_IDS = FIRST_BLOCK


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis in which "app" has no model, and "slow" one that answers nobody before the fixture `busy` allows it."""
    with redis_in(tmp_path_factory.mktemp("processes") / "redis") as server:
        Registry(server).add_application("app", None, slo_s=PATIENCE_S)
        yield server


@pytest.fixture
def busy(redis: RedisServer) -> Iterator[threading.Event]:
    """An application "slow" whose model answers once the event is set."""
    may_answer = threading.Event()

    def wait(inputs: Any) -> list[str]:
        may_answer.wait(PATIENCE_S)
        return ["done"] * len(inputs)

    registry = Registry(redis)
    registry.add_application("slow", "m", slo_s=PATIENCE_S)
    registry.add_version("m", "1")
    with model_containers.serving(wait) as container:
        registry.add_replica("m", "1", 0, container.address)
        yield may_answer
        may_answer.set()
        registry.remove_replica("m", "1", 0)


@pytest.fixture
def service(redis: RedisServer, tmp_path: Path) -> Iterator[QueryServiceProcess]:
    """A query service of two processes, which serve."""
    with QueryServiceProcess(redis, tmp_path, processes="2") as running:
        assert running.health(QUERY_SERVICE) == SERVING
        yield running


def _children(service: QueryServiceProcess) -> list[ProcessIdentity]:
    """The processes that live by the service's."""
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((directory / "stat").read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        identity = ProcessIdentity.of(int(directory.name)) if parent == service.process.pid else None
        if identity is not None:
            found.append(identity)
    return found


def _gone(processes: list[ProcessIdentity]) -> bool:
    return not any(process.is_alive() for process in processes)


def _ask(service: QueryServiceProcess, connections: int = _CONNECTIONS) -> set[int]:
    """Puts a question on each of several new connections; returns who answered, by their blocks of query ids."""
    return {_ask_once(service) for _ in range(connections)}


def _ask_once(service: QueryServiceProcess) -> int:
    with grpc.insecure_channel(service.address, CHANNEL_OPTIONS) as channel:
        stub = query_service_pb2_grpc.QueryServiceStub(channel)
        answer = stub.Predict(request("app", [[1.0]]), timeout=PATIENCE_S)
        return answer.predictions[0].query_id // _BLOCK_OF_IDS


def _counted_in_json(service: QueryServiceProcess) -> int:
    """The predictions for "app" by GetMetrics, as asked on a new connection."""
    with grpc.insecure_channel(service.address, CHANNEL_OPTIONS) as channel:
        stub = query_service_pb2_grpc.QueryServiceStub(channel)
        body = stub.GetMetrics(query_service_pb2.GetMetricsRequest(), timeout=PATIENCE_S).body
    counters = {name: value for entry in json.loads(body.data)["counters"] for name, value in entry.items()}
    return int(counters.get("app:app:num_predictions", {"count": 0})["count"])


def _counted_by_prometheus(service: QueryServiceProcess) -> int:
    with urllib.request.urlopen(f"http://{service.metrics_address}/metrics", timeout=PATIENCE_S) as answer:
        lines = answer.read().decode().splitlines()
    samples = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return int(float(samples['clipper_predictions_total{application="app"}']))


def _wait_until_counted(service: QueryServiceProcess, count: int) -> None:
    """Returns when so many predictions are told by whomever is asked; a process that is busy may tell of them late."""
    wait_until(lambda: {_counted_in_json(service) for _ in range(8)} == {count})
    wait_until(lambda: _counted_by_prometheus(service) == count)


def test_connections_are_spread_and_the_metrics_are_those_of_all_processes(service: QueryServiceProcess) -> None:
    assert len(_ask(service)) == 2
    _wait_until_counted(service, _CONNECTIONS)


def test_it_says_once_that_it_serves_when_all_its_processes_do(service: QueryServiceProcess) -> None:
    messages = [line["message"] for line in service.log() if "serving" in line["message"]]
    assert messages.count("serving") == 1
    assert sorted(messages) == ["process serving", "process serving", "serving"]
    assert len(_children(service)) == 2


def test_a_drain_answers_what_every_process_was_asked(service: QueryServiceProcess, busy: threading.Event) -> None:
    channels = [grpc.insecure_channel(service.address, CHANNEL_OPTIONS) for _ in range(_CONNECTIONS)]
    stubs = [query_service_pb2_grpc.QueryServiceStub(channel) for channel in channels]
    calls = [stub.Predict.future(request("slow", [[float(n)]]), timeout=PATIENCE_S) for n, stub in enumerate(stubs)]
    for channel in channels:
        grpc.channel_ready_future(channel).result(PATIENCE_S)
    watch, children = service.watch_health(QUERY_SERVICE), _children(service)
    assert next(watch).status == SERVING
    service.process.terminate()
    assert next(watch).status == NOT_SERVING
    busy.set()
    answers = [call.result().predictions[0] for call in calls]
    assert {answer.output for answer in answers} == {"done"}
    assert len({answer.query_id // _BLOCK_OF_IDS for answer in answers}) == 2
    assert service.end() == 0
    assert _gone(children)
    for channel in channels:
        channel.close()


def test_a_signal_to_all_processes_at_once_is_one_drain(service: QueryServiceProcess) -> None:
    for process in _children(service):
        process.send(signal.SIGTERM)
    service.process.terminate()
    assert service.end() == 0
    assert [line["message"] for line in service.log()].count("drained") == 3


def test_a_second_signal_ends_all_processes_at_once(redis: RedisServer, tmp_path: Path) -> None:
    with QueryServiceProcess(redis, tmp_path, processes="2", lame_duck_s="30") as service:
        watch, children = service.watch_health(QUERY_SERVICE), _children(service)
        assert next(watch).status == SERVING
        service.process.terminate()
        assert next(watch).status == NOT_SERVING
        service.process.send_signal(signal.SIGINT)
        assert service.end() == 128 + signal.SIGINT
        wait_until(lambda: _gone(children))


def test_a_process_that_dies_is_replaced_and_its_counts_are_kept(service: QueryServiceProcess) -> None:
    before = _ask(service)
    _wait_until_counted(service, _CONNECTIONS)
    victim, survivor = _children(service)
    victim.send(signal.SIGKILL)
    wait_until(lambda: any("exit_code" in line for line in service.log()))
    left = _ask(service, 4)
    # Where that took long, the third may have been among them.
    assert len(left) == 1 or _have_served(service) == 3
    _wait_until_counted(service, _CONNECTIONS + 4)
    wait_until(lambda: _have_served(service) == 3)
    assert survivor in _children(service)
    after = _ask(service)
    assert len(after) == 2 == len(before | after) - 1
    _wait_until_counted(service, _CONNECTIONS + 4 + _CONNECTIONS)
    (warning,) = (line for line in service.log() if "exit_code" in line)
    assert (warning["level"], warning["exit_code"]) == ("WARNING", 128 + signal.SIGKILL)
    service.process.terminate()
    assert service.end() == 0


def _have_served(service: QueryServiceProcess) -> int:
    """How many processes have begun to serve."""
    return sum(line["message"] == "process serving" for line in service.log())


def test_a_process_that_hangs_does_not_hold_up_the_metrics(service: QueryServiceProcess) -> None:
    _ask(service)
    _wait_until_counted(service, _CONNECTIONS)
    hung, _ = _children(service)
    hung.send(signal.SIGSTOP)
    started_s = time.monotonic()
    assert [_counted_by_prometheus(service) for _ in range(2)] == [_CONNECTIONS] * 2
    assert time.monotonic() - started_s < PATIENCE_S
    wait_until(lambda: not hung.is_alive())
    _wait_until_counted(service, _CONNECTIONS)
    service.expected_errors.add(_FROZEN)


@pytest.mark.alone
def test_a_process_that_freezes_is_ended_so_that_nobody_waits_for_it_for_long(
    service: QueryServiceProcess, busy: threading.Event
) -> None:
    frozen, other = _children(service)
    with ExitStack() as stack:
        channels = [
            stack.enter_context(grpc.insecure_channel(service.address, CHANNEL_OPTIONS)) for _ in range(_CONNECTIONS)
        ]
        stubs = [query_service_pb2_grpc.QueryServiceStub(channel) for channel in channels]
        calls = [stub.Predict.future(request("slow", [[float(n)]]), timeout=PATIENCE_S) for n, stub in enumerate(stubs)]
        _ask(service)
        frozen.send(signal.SIGSTOP)
        frozen_s = time.monotonic()
        wait_until(lambda: any(call.done() for call in calls))
        assert time.monotonic() - frozen_s < _ENDED_WITHIN_S
        busy.set()
        ends = {call.code() for call in calls}
        assert ends == {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
    wait_until(lambda: len(_children(service)) == 2)
    assert other in _children(service)
    assert frozen not in _children(service)
    service.expected_errors.add(_FROZEN)


@pytest.mark.skipif(os.geteuid() != 0, reason="control groups take root")
def test_a_process_that_has_no_turn_for_long_is_not_taken_for_a_frozen_one(service: QueryServiceProcess) -> None:
    before = _children(service)
    with ExitStack() as stack:
        for child in before:
            stack.enter_context(limited(child.pid, cpus=0.005, period_micros=1_000_000))
        with ThreadPoolExecutor(_CONNECTIONS) as pool:
            list(pool.map(lambda _: _ask_once(service), range(_CONNECTIONS)))
    assert _children(service) == before


def test_a_process_that_a_policy_keeps_for_ever_is_ended_and_its_log_says_where(tmp_path: Path) -> None:
    with ExitStack() as stack:
        redis = stack.enter_context(redis_in(tmp_path / "redis"))
        registry = Registry(redis)
        registry.add_application("app", None, slo_s=PATIENCE_S)
        registry.add_version("m", "1")
        registry.add_choice("endless", "tests.fixtures.choices:SelectsForEver", "m")
        variables = {"processes": "2", "policy_prefixes": "tests.fixtures.choices"}
        service = stack.enter_context(QueryServiceProcess(redis, tmp_path, **variables))
        assert service.health(QUERY_SERVICE) == SERVING
        before = _children(service)
        with grpc.insecure_channel(service.address, CHANNEL_OPTIONS) as channel:
            stub = query_service_pb2_grpc.QueryServiceStub(channel)
            kept = stub.Predict.future(request("endless", [[1.0]]), timeout=_TURN_WITHIN_S)
            assert kept.code() is grpc.StatusCode.UNAVAILABLE
        wait_until(lambda: len(_children(service)) == 2)
        assert len(set(before) & set(_children(service))) == 1
        _ask(service)
        service.expected_errors.add(_NEVER_BACK)
        (line,) = service.errors()
        assert "in select" in line["stack"][-1]


@pytest.mark.parametrize("stopped", [False, True], ids=["running", "stopped"])
def test_no_process_outlives_the_parent(service: QueryServiceProcess, stopped: bool) -> None:
    children = _children(service)
    if stopped:
        children[0].send(signal.SIGSTOP)
    service.process.kill()
    wait_until(lambda: _gone(children))


@pytest.mark.parametrize(("first", "second"), [("2", "2"), ("2", "1"), ("1", "2")])
def test_another_service_on_the_port_is_refused(redis: RedisServer, tmp_path: Path, first: str, second: str) -> None:
    with QueryServiceProcess(redis, tmp_path, processes=first) as service:
        mistaken = QueryServiceProcess(redis, tmp_path, processes=second, address=service.address)
        assert mistaken.end() == 1
        (line,) = mistaken.log()
        assert line["message"].startswith(f"cannot bind {service.address}")
        assert service.health(QUERY_SERVICE) == SERVING


def test_a_service_whose_processes_cannot_start_ends(redis: RedisServer, tmp_path: Path) -> None:
    service = QueryServiceProcess(redis, tmp_path, processes="2", redis_url="gopher://nowhere")
    assert service.end() == 1
    (line,) = (line for line in service.log() if line["logger"] == "services.query.processes.parent")
    assert (line["message"], line["exit_code"]) == ("a process did not start", 1)


def test_a_service_without_processes_is_refused(redis: RedisServer, tmp_path: Path) -> None:
    service = QueryServiceProcess(redis, tmp_path, processes="0")
    assert service.end() == 2


def test_envoy_gives_work_to_all_processes(service: QueryServiceProcess, busy: threading.Event, tmp_path: Path) -> None:
    edge_directory = tmp_path / "edge"
    edge_directory.mkdir()
    with (
        envoy(edge_directory, [service.address], "127.0.0.1:1") as edge,
        grpc.insecure_channel(edge.query, CHANNEL_OPTIONS) as channel,
    ):
        stub = query_service_pb2_grpc.QueryServiceStub(channel)
        calls = [stub.Predict.future(request("slow", [[float(n)]]), timeout=PATIENCE_S) for n in range(200)]
        _ask(service, 1)
        busy.set()
        answers = [call.result().predictions[0] for call in calls]
    assert {answer.output for answer in answers} == {"done"}
    assert len({answer.query_id // _BLOCK_OF_IDS for answer in answers}) == 2


def test_two_claims_on_a_port_exclude_each_other_before_anybody_listens() -> None:
    claim = PortClaim("127.0.0.1:0")
    with pytest.raises(OSError, match="cannot bind"):
        PortClaim(claim.address)
    with pytest.raises(OSError, match="cannot bind"):
        PortClaim(f"0.0.0.0:{claim.port}")
    claim.close()
    PortClaim(claim.address).close()


def test_a_claimed_port_can_be_shared_and_takes_no_connection_itself() -> None:
    claim = PortClaim("127.0.0.1:0")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", claim.port))
    listeners = [socket.create_server(("127.0.0.1", claim.port), reuse_port=True) for _ in range(2)]
    for _ in range(_CONNECTIONS):
        socket.create_connection(("127.0.0.1", claim.port)).close()
    accepted = []
    for listener in listeners:
        listener.setblocking(False)
        while True:
            try:
                accepted.append(listener.accept()[0])
            except BlockingIOError:
                break
    assert len(accepted) == _CONNECTIONS
    for each in (*accepted, *listeners):
        each.close()
    claim.close()
    # The claims of a service that starts again are not held up by the connections that have just ended.
    PortClaim(claim.address).close()
