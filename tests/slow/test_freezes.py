"""What stands still under a running client without dying: query services and management. Nobody waits for it."""

import contextlib
import queue
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Self

import grpc
import pytest
import requests
from clipper.v1 import query_service_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from clipper_admin import ClipperConnection
from clipper_admin.deployers import python as python_deployer
from tests.e2e.conftest import free_ports_manager
from tests.fixtures.clients import PATIENCE_S, NativeClient, doubles
from tests.fixtures.functions import telling
from tests.fixtures.load import Load, asked_between, defaults, errors, ids_are_unique
from tests.fixtures.processes import send
from tests.fixtures.refusals import refusal
from tests.fixtures.stalls import StallMeter
from tests.fixtures.waiting import wait_until

pytestmark = pytest.mark.alone

SLO_S = 0.1
# A sign of life is missed within a second and a quarter; what was asked of who is frozen is asked of the other then.
NOBODY_WAITS_LONGER_S = 1.5
# With nobody else to ask it takes three tries.
REFUSED_WITHIN_S = 5.0
STALL_S = 0.5
# Signs of life are asked for several times meanwhile.
IDLE_S = 3.0


@pytest.fixture(scope="module")
def pair(clipper_home: object) -> Iterator[ClipperConnection]:
    """A cluster with two query services and an application whose model tells what it got."""
    yield from started("frozen-pair", query_services=2)


@pytest.fixture(scope="module")
def alone(clipper_home: object) -> Iterator[ClipperConnection]:
    """The same with one query service."""
    yield from started("frozen-alone", query_services=1)


def started(name: str, query_services: int) -> Iterator[ClipperConnection]:
    connection = ClipperConnection(free_ports_manager(name))
    try:
        connection.start_clipper(num_frontend_replicas=query_services)
        python_deployer.create_endpoint(
            connection,
            "app",
            "doubles",
            telling("1"),
            default_output="no prediction",
            slo_micros=round(SLO_S * 1e6),
            check=False,
        )
        yield connection
    finally:
        connection.stop_all(graceful=False)


@contextlib.contextmanager
def frozen(connection: ClipperConnection, name: str) -> Iterator[float]:
    """A process stands still for as long as the context lasts; yields since when, on time.monotonic()'s clock."""
    _, since_s = send(connection, name, signal.SIGSTOP)
    try:
        yield since_s
    finally:
        send(connection, name, signal.SIGCONT)


class PredictStream:
    """One PredictStream of the application, on a connection of its own."""

    def __init__(self, connection: ClipperConnection) -> None:
        self._client = NativeClient(connection.get_query_addr(), "app")
        self._requests: queue.SimpleQueue[query_service_pb2.PredictStreamRequest | None] = queue.SimpleQueue()
        self._call = self._client.stub.PredictStream(iter(self._requests.get, None))

    def __enter__(self) -> Self:
        self.ask()
        return self

    def __exit__(self, *_: object) -> None:
        self._requests.put(None)
        self._client.close()

    def ask(self) -> None:
        """Asks, and returns when the answer is there."""
        self._requests.put(query_service_pb2.PredictStreamRequest(request=doubles("app", [[0.5]])))
        next(self._call)


def ask_again_and_again(stream: PredictStream, until_s: float) -> grpc.StatusCode | None:
    """How the stream ends, if it does before a time; nothing takes it longer than anybody waits."""
    while (asked_s := time.monotonic()) < until_s:
        try:
            stream.ask()
        except grpc.RpcError as ended:
            return ended.code()
        finally:
            assert time.monotonic() - asked_s < NOBODY_WAITS_LONGER_S
    return None


@pytest.mark.essential
def test_one_of_two_query_services_freezes_and_nobody_waits_for_it(pair: ClipperConnection) -> None:
    with StallMeter(pair) as meter, Load(pair.get_query_addr(), "app") as load:
        with frozen(pair, "query-0") as since_s:
            load.wait_for_more(asked_after_s=since_s + 3.0)
        load.wait_for_more(200)

    assert errors(load.answers) == []
    assert ids_are_unique(load.answers)
    assert meter.late(load.answers, NOBODY_WAITS_LONGER_S) == []


def test_streams_to_a_query_service_that_freezes_end_and_new_ones_go_to_the_other(pair: ClipperConnection) -> None:
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(8) as pool:
        streams = [stack.enter_context(PredictStream(pair)) for _ in range(8)]
        with frozen(pair, "query-1") as since_s:
            ends = set(pool.map(ask_again_and_again, streams, [since_s + NOBODY_WAITS_LONGER_S] * len(streams)))
            for _ in streams:
                with PredictStream(pair) as stream:
                    stream.ask()

    # One that has had an answer can only be broken off, and gRPC calls that INTERNAL.
    assert ends == {None, grpc.StatusCode.INTERNAL}


def test_a_native_deadline_ends_a_call_to_who_is_frozen(alone: ClipperConnection) -> None:
    with NativeClient(alone.get_query_addr(), "app") as client:
        client.ask([0.5])
        with frozen(alone, "query-0"):
            answer = client.ask([0.5], timeout_s=0.3)

    assert answer.error.startswith("DEADLINE_EXCEEDED")
    assert answer.latency_s < NOBODY_WAITS_LONGER_S


def test_query_services_that_stall_lose_neither_a_call_nor_a_stream(pair: ClipperConnection) -> None:
    with PredictStream(pair) as one, PredictStream(pair) as another, Load(pair.get_query_addr(), "app") as load:
        for name in ("query-0", "query-1") * 2:
            with frozen(pair, name) as since_s:
                wait_until(lambda since_s=since_s: time.monotonic() > since_s + STALL_S)  # type: ignore[misc]
            one.ask()
            another.ask()

    assert errors(load.answers) == []


@pytest.mark.essential
def test_while_the_only_query_service_is_frozen_callers_are_refused_and_then_served_again(
    alone: ClipperConnection,
) -> None:
    with Load(alone.get_query_addr(), "app") as load:
        with frozen(alone, "query-0"):
            wait_until(lambda: len(errors(load.answers)) >= 8)
        wait_until(lambda: load.answers[-1].is_prediction)
        back_s = time.monotonic()
        load.wait_for_more(100)

    assert {answer.error.partition(" ")[0] for answer in errors(load.answers)} == {"503", "UNAVAILABLE"}
    assert max(answer.latency_s for answer in load.answers) < REFUSED_WITHIN_S
    assert errors(asked_between(load.answers, back_s)) == []
    assert defaults(asked_between(load.answers, back_s)) == []


@pytest.mark.essential
def test_while_management_is_frozen_its_callers_are_refused_and_then_served_again(alone: ClipperConnection) -> None:
    url = f"http://{alone.cm.get_admin_addr()}/admin/get_all_applications"

    with frozen(alone, "management"):
        asked_s = time.monotonic()
        refused = requests.post(url, data=b'{"verbose": false}', timeout=PATIENCE_S)
        refused_s = time.monotonic()

    refusal(refused, 503, 14, "NOT_SERVING")
    assert refused_s - asked_s < NOBODY_WAITS_LONGER_S
    wait_until(lambda: requests.post(url, data=b'{"verbose": false}', timeout=PATIENCE_S).ok)


@pytest.mark.parametrize("port", ["query", "admin"])
def test_an_idle_stream_is_not_ended(alone: ClipperConnection, port: str) -> None:
    address = alone.get_query_addr() if port == "query" else alone.cm.get_admin_addr()
    with grpc.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest(), timeout=PATIENCE_S)  # type: ignore[attr-defined]
        threading.Timer(IDLE_S, watch.cancel).start()
        with pytest.raises(grpc.RpcError) as ended:
            list(watch)

    assert ended.value.code() is grpc.StatusCode.CANCELLED
