"""A container's lease, against a gRPC server that plays management."""

import queue
import socket
import threading
from collections.abc import Iterator

import pytest
from clipper.v1 import input_pb2, management_service_pb2

from services.common.names import InputType
from services.model_container.lease import ReplicaLease
from tests.fixtures.lease_keepers import LeaseKeeper
from tests.fixtures.model_containers import PATIENCE_S

_SHORT_S = 0.9


@pytest.fixture
def keeper() -> Iterator[LeaseKeeper]:
    keeper = LeaseKeeper(time_to_live_s=_SHORT_S)
    yield keeper
    keeper.go()


def _lease(management_address: str) -> ReplicaLease:
    return ReplicaLease(
        management_address, model_name="m", model_version="2", input_type=InputType.STRINGS, address="host:7000"
    )


@pytest.fixture
def lease(keeper: LeaseKeeper) -> Iterator[ReplicaLease]:
    lease = _lease(keeper.address)
    lease.start()
    yield lease
    lease.release(PATIENCE_S)


def test_a_new_replica_says_what_it_is_and_renews_for_as_long_as_it_lives(
    keeper: LeaseKeeper, lease: ReplicaLease
) -> None:
    assert keeper.opened.get(timeout=PATIENCE_S) == management_service_pb2.LeasedReplica(
        model_name="m", model_version="2", input_type=input_pb2.INPUT_TYPE_STRINGS, address="host:7000"
    )
    for _ in range(5):
        keeper.renewed.get(timeout=PATIENCE_S)
    assert keeper.opened.empty()
    assert keeper.released.empty()


def test_renewals_come_three_times_within_the_time_to_live(keeper: LeaseKeeper, lease: ReplicaLease) -> None:
    keeper.opened.get(timeout=PATIENCE_S)
    times_s = [keeper.renewed.get(timeout=PATIENCE_S) for _ in range(7)]
    assert 0.9 * _SHORT_S / 3 < (times_s[-1] - times_s[0]) / 6 < _SHORT_S


def test_a_release_is_confirmed_before_it_returns(keeper: LeaseKeeper, lease: ReplicaLease) -> None:
    keeper.opened.get(timeout=PATIENCE_S)
    lease.release(PATIENCE_S)
    keeper.released.get_nowait()
    lease.release(PATIENCE_S)
    assert keeper.opened.empty()
    assert keeper.released.empty()


def test_a_broken_stream_is_opened_again_with_the_replicas_id(keeper: LeaseKeeper, lease: ReplicaLease) -> None:
    assert not keeper.opened.get(timeout=PATIENCE_S).HasField("model_replica_id")
    for _ in range(2):
        keeper.renewed.get(timeout=PATIENCE_S)
        keeper.go()
        keeper.come(keeper.address)
        assert keeper.opened.get(timeout=PATIENCE_S).model_replica_id == 7


def test_a_stream_that_management_ends_is_opened_again(keeper: LeaseKeeper, lease: ReplicaLease) -> None:
    keeper.opened.get(timeout=PATIENCE_S)
    keeper.ending.set()
    assert keeper.opened.get(timeout=PATIENCE_S).model_replica_id == 7


def test_a_replica_that_is_there_before_management_is_known_as_soon_as_management_comes(keeper: LeaseKeeper) -> None:
    keeper.go()
    lease = _lease(keeper.address)
    lease.start()
    with pytest.raises(queue.Empty):
        keeper.opened.get(timeout=0.3)
    keeper.come(keeper.address)
    assert keeper.opened.get(timeout=PATIENCE_S).model_name == "m"
    lease.release(PATIENCE_S)


def test_a_release_returns_when_management_is_away(keeper: LeaseKeeper, lease: ReplicaLease) -> None:
    keeper.opened.get(timeout=PATIENCE_S)
    keeper.go()
    lease.release(PATIENCE_S)


def test_a_release_is_bounded_when_management_never_answers(keeper: LeaseKeeper) -> None:
    keeper.confirming.clear()
    lease = _lease(keeper.address)
    lease.start()
    keeper.opened.get(timeout=PATIENCE_S)
    lease.release(0.05)
    assert keeper.released.empty()


def test_a_release_is_bounded_when_nobody_listens_at_the_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        lease = _lease(f"127.0.0.1:{silent.getsockname()[1]}")
        lease.start()
        lease.release(0.05)


def test_a_lease_that_was_never_started_is_released_at_once(keeper: LeaseKeeper) -> None:
    _lease(keeper.address).release(PATIENCE_S)
    assert keeper.opened.empty()


def test_a_release_ends_the_leases_thread(keeper: LeaseKeeper, lease: ReplicaLease) -> None:
    keeper.opened.get(timeout=PATIENCE_S)
    assert "replica lease" in {thread.name for thread in threading.enumerate()}
    lease.release(PATIENCE_S)
    assert "replica lease" not in {thread.name for thread in threading.enumerate()}
