"""What may befall the store of a running cluster under load: emptied, or started with older files. Answers go on."""

import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from clipper_admin import ClipperConnection, ClipperException
from clipper_admin.deployers import python as python_deployer
from tests.e2e.conftest import free_ports_manager
from tests.fixtures.functions import telling
from tests.fixtures.load import Load, defaults, errors, ids_are_unique
from tests.fixtures.local_clusters import local
from tests.fixtures.processes import send, state, supervision_suspended, wait_for_another
from tests.fixtures.waiting import wait_until

SERVICES = ("management", "query-0", "query-1")
WITHIN_S = 60.0


@pytest.fixture
def cluster(clipper_home: Path, request: pytest.FixtureRequest) -> Iterator[ClipperConnection]:
    """A cluster with two query services and an application whose model tells what it got."""
    connection = ClipperConnection(free_ports_manager(f"store-{request.node.callspec.id}"))
    try:
        connection.start_clipper(num_frontend_replicas=2)
        python_deployer.create_endpoint(connection, "app", "doubles", telling("1"), slo_micros=5_000_000, check=False)
        yield connection
    finally:
        connection.stop_all(graceful=False)


def store(connection: ClipperConnection) -> Any:
    """A client of the cluster's Redis."""
    [port] = [record.spec.ready_port for record in state(connection).processes if record.spec.name == "redis"]
    return redis.Redis(port=port)


def emptied(connection: ClipperConnection, _older: Path) -> None:
    """Somebody empties it."""
    store(connection).flushall()


def older(connection: ClipperConnection, files: Path) -> None:
    """It is killed and started with older files."""
    directory = local(connection).directory.redis
    with supervision_suspended(connection):
        pid, _ = send(connection, "redis")
        shutil.rmtree(directory)
        shutil.copytree(files, directory)
    wait_for_another(connection, "redis", pid)


def refusals(connection: ClipperConnection) -> int:
    """How many query services have said that they refuse it."""
    logs = local(connection).directory.logs.glob("query-*.log")
    return sum("the store is refused" in log.read_text() for log in logs)


def restart(connection: ClipperConnection) -> None:
    """Has all services started again."""
    for name in SERVICES:
        pid, _ = send(connection, name, signal.SIGKILL)
        wait_for_another(connection, name, pid)


def registers(connection: ClipperConnection, name: str) -> bool:
    try:
        connection.register_application(name, "doubles", "no prediction", 100_000)
    except ClipperException:
        return False
    return True


@pytest.mark.parametrize("happen", [pytest.param(emptied, marks=pytest.mark.essential), older])
def test_answers_go_on_and_nothing_is_obeyed_until_the_services_are_started_again(
    cluster: ClipperConnection, tmp_path: Path, happen: Callable[[ClipperConnection, Path], None]
) -> None:
    files = Path(shutil.copytree(local(cluster).directory.redis, tmp_path / "older"))
    cluster.register_application("late", "doubles", "no prediction", 100_000)
    with Load(cluster.get_query_addr(), "app") as load:
        happen(cluster, files)
        wait_until(lambda: refusals(cluster) == 2, WITHIN_S)
        with pytest.raises(ClipperException, match="restart the management and the query services"):
            cluster.register_application("refused", "doubles", "no prediction", 100_000)
        load.wait_for_more(200)
    assert errors(load.answers) == []
    assert defaults(load.answers) == []

    restart(cluster)
    wait_until(lambda: registers(cluster, "meant"), WITHIN_S)
    applications = cluster.get_all_apps()
    assert ("app" in applications, "late" in applications) == (happen is older, False)
    if happen is older:
        with Load(cluster.get_query_addr(), "app") as again:
            again.wait_for_more()
        assert ids_are_unique(load.answers + again.answers)
