"""What breaks or changes under a query service while it is asked, and what its clients notice."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import grpc
import pytest
from clipper.v1 import query_service_pb2

from clipper_admin.hosts.process import ports
from tests.fixtures.model_containers import ContainerProcess, save
from tests.fixtures.native_load import Answer, NativeLoad, telling
from tests.fixtures.query_services import PATIENCE_S, QueryServiceProcess, Registry, request, wait_until_predicted
from tests.fixtures.redis_server import RedisServer

_SLO_S = 2.0


class Scene:
    """A query service with a model "m" whose version "1" is current, and no replicas yet.

    Applications are "app", with an objective of _SLO_S, and "patient".

    Attributes:
        service, registry, redis: as they say.
    """

    def __init__(self, redis: RedisServer, directory: Path, stack: ExitStack) -> None:
        self.redis = redis
        self.registry = Registry(redis)
        self.registry.add_application("app", "m", slo_s=_SLO_S)
        self.registry.add_application("patient", "m")
        self.registry.add_version("m", "1")
        self.service = stack.enter_context(QueryServiceProcess(redis, directory, lame_duck_s="3"))
        self._directory = directory
        self._stack = stack

    def start(self, *says: str, pause_s: float = 0.002, address: str = "127.0.0.1:0") -> "list[Container]":
        """Starts containers whose models say these words."""
        processes = []
        for word in says:
            directory = self._directory / f"model-{word}"
            directory.mkdir(exist_ok=True)
            model = save(directory, telling(word, pause_s))
            container = ContainerProcess(model, address=address, drain_grace_s="600")
            processes.append(self._stack.enter_context(container))
        return [Container(process, process.address()) for process in processes]

    def serve(self, *containers: "Container") -> None:
        """Makes containers the replicas of version "1" and waits until it predicts."""
        for replica_id, container in enumerate(containers):
            self.registry.add_replica("m", "1", replica_id, container.address)
        wait_until_predicted(self.service, request("patient", [[-1.0]]))


class Container(NamedTuple):
    """A model container of its own process, and where it serves."""

    process: ContainerProcess
    address: str

    @property
    def pid(self) -> int:
        """The process's id."""
        return self.process.process.pid

    def kill(self) -> None:
        """Ends it as kill -9 does."""
        self.process.process.kill()

    def terminate(self) -> None:
        """Asks it to end, which it must do well, and before its grace is over."""
        self.process.process.terminate()
        assert self.process.end()[0] == 0


@pytest.fixture
def scene(redis_server: RedisServer, tmp_path: Path) -> Iterator[Scene]:
    """A scene whose processes end with the test."""
    with ExitStack() as stack:
        yield Scene(redis_server, tmp_path, stack)


def _logged_at(service: QueryServiceProcess, message: str) -> float:
    """When a query service logged a message first, as Unix time in seconds."""
    line = next(line for line in service.log() if line["message"] == message)
    return datetime.fromisoformat(line["time"]).timestamp()


def _says(word: str) -> Callable[[Answer], bool]:
    return lambda answer: answer.output.startswith(f"{word} ")


def _from(container: Container) -> Callable[[Answer], bool]:
    return lambda answer: f" {container.pid} " in answer.output


def _predicted(answer: Answer) -> bool:
    return answer.is_prediction


@pytest.mark.alone
def test_a_killed_replica_costs_no_default_and_is_out_of_rotation_at_once(scene: Scene) -> None:
    victim, survivor = scene.start("one", "two")
    scene.serve(victim, survivor)
    with NativeLoad(scene.service, "app") as load:
        load.wait_for(20, _from(victim))
        killed_s, killed_unix_s = time.monotonic(), time.time()
        victim.kill()
        load.wait_for(200)
    assert all(map(_predicted, load.answers))
    assert _logged_at(scene.service, "stream ended") - killed_unix_s < 0.1
    # Whoever was in the lost batch waited for a second try, nobody for the objective.
    assert max(answer.latency_s for answer in load.asked_after(killed_s - 0.1)) < 0.3


@pytest.mark.alone
def test_with_the_only_replica_killed_defaults_come_at_once_until_it_is_back_at_its_address(scene: Scene) -> None:
    # Nobody is given its address while it is away.
    (container,) = scene.start("one", address=ports.address(ports.free_ports(1)[0]))
    scene.serve(container)
    with NativeLoad(scene.service, "app") as load:
        killed_s = time.monotonic()
        container.kill()
        load.wait_for(100)
        mourned_s = time.monotonic()
        scene.start("one", address=container.address)
        load.wait_for(50, _predicted)
    assert all(answer.error is None for answer in load.answers)
    mourning = [answer for answer in load.asked_after(killed_s + 0.1) if answer.sent_s < mourned_s]
    assert {answer.reason for answer in mourning} == {query_service_pb2.DEFAULT_REASON_NO_REPLICA}
    assert max(answer.latency_s for answer in mourning) < 0.3
    assert {answer.reason for answer in load.answers} <= {
        query_service_pb2.DEFAULT_REASON_UNSPECIFIED,
        query_service_pb2.DEFAULT_REASON_NO_REPLICA,
        query_service_pb2.DEFAULT_REASON_REPLICA_LOST,
    }
    assert max(answer.latency_s for answer in load.answers) < _SLO_S + 0.02


def test_a_removed_replica_finishes_what_it_has_and_may_end(scene: Scene) -> None:
    leaving, staying = scene.start("one", "two", pause_s=0.05)
    scene.serve(leaving, staying)
    with NativeLoad(scene.service, "patient") as load:
        load.wait_for(20, _from(leaving))
        scene.registry.remove_replica("m", "1", 0)
        leaving.terminate()
        load.wait_for(50, _from(staying))
    assert all(map(_predicted, load.answers))


def test_a_replica_that_comes_shares_the_load(scene: Scene) -> None:
    first, second = scene.start("one", "two")
    scene.serve(first)
    with NativeLoad(scene.service, "patient", pause_s=0.0) as load:
        scene.registry.add_replica("m", "1", 1, second.address)
        load.wait_for(20, _from(second))
        load.wait_for(20, _from(first))
    assert all(map(_predicted, load.answers))


def test_a_new_version_takes_over_without_a_default(scene: Scene) -> None:
    old, new = scene.start("old", "new", pause_s=0.05)
    scene.serve(old)
    with NativeLoad(scene.service, "patient") as load:
        scene.registry.add_replica("m", "2", 0, new.address)
        load.wait_for(20, _says("old"))
        scene.registry.add_version("m", "2")
        load.wait_for(1, _says("new"))
        switched_s = time.monotonic()
        scene.registry.remove_replica("m", "1", 0)
        old.terminate()
        load.wait_for(50)
    assert all(map(_predicted, load.answers))
    assert all(map(_says("new"), load.asked_after(switched_s)))


@pytest.mark.parametrize("outage", [(RedisServer.kill, RedisServer.start), (RedisServer.freeze, RedisServer.thaw)])
def test_while_redis_is_away_predictions_go_on_and_after_it_changes_are_followed(
    scene: Scene, outage: tuple[Callable[[RedisServer], None], Callable[[RedisServer], None]]
) -> None:
    begin, end = outage
    scene.serve(*scene.start("one"))
    with NativeLoad(scene.service, "patient") as load:
        begin(scene.redis)
        load.wait_for(200)
        end(scene.redis)
        load.wait_for(20)
        scene.registry.add_application("late", "m")
        wait_until_predicted(scene.service, request("late", [[-1.0]]))
    assert all(map(_predicted, load.answers))


def test_on_sigterm_calls_are_answered_for_a_while_and_then_refused(scene: Scene) -> None:
    scene.serve(*scene.start("one"))
    with NativeLoad(scene.service, "patient") as load:
        terminated_s = time.monotonic()
        scene.service.process.terminate()
        assert scene.service.end() == 0
        took_s = time.monotonic() - terminated_s
    assert took_s < PATIENCE_S
    # What is asked while the service is a lame duck, for three seconds, is accepted; what comes later is refused.
    assert all(answer.is_prediction for answer in load.answers if answer.sent_s < terminated_s + 0.7)
    # A call that crosses the server's GOAWAY on its way is cancelled by gRPC's core before the service sees it.
    refused = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
    assert {answer.error for answer in load.answers} <= {None, *refused}
