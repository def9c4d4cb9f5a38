"""What containers may not do: those of the services, and those of models, which run what others wrote."""

from pathlib import Path

import pytest
from docker.models.containers import Container

from tests.fixtures.compose import ComposeCluster
from tests.fixtures.functions import telling
from tests.fixtures.waiting import wait_until

SERVICES = ("envoy", "query", "management", "redis", "prometheus")
REACHES = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=1)"


@pytest.fixture(scope="module")
def replica(compose: ComposeCluster) -> Container:
    """A replica as docs/deploying.md starts it."""
    compose.register("kept-in")
    [started] = compose.deploy("kept-in", "1", telling("1"))
    started.reload()
    return started


@pytest.fixture(params=[*SERVICES, "replica"])
def container(compose: ComposeCluster, request: pytest.FixtureRequest) -> Container:
    found: Container = (
        request.getfixturevalue("replica") if request.param == "replica" else compose.container(request.param)
    )
    return found


def shell(container: Container, command: str) -> tuple[int | None, str]:
    exit_code, output = container.exec_run(["sh", "-c", command])
    assert isinstance(output, bytes)
    return exit_code, output.decode().strip()


def says_why_it_failed(container: Container, command: str, why: str) -> None:
    """Runs a command, which is to fail and to say this, again if the engine has lost what it said."""

    def is_said() -> bool:
        exit_code, output = shell(container, command)
        assert exit_code != 0
        return why in output

    wait_until(is_said)


def test_it_runs_as_an_ordinary_user_without_capabilities(container: Container) -> None:
    status = Path(f"/proc/{container.attrs['State']['Pid']}/status").read_text()
    found = dict(line.split(":", 1) for line in status.splitlines())

    assert int(found["CapEff"], 16) == 0
    assert "0" not in found["Uid"].split()


def test_it_cannot_write_its_root_file_system(container: Container) -> None:
    says_why_it_failed(container, "touch /somewhere", "Read-only file system")


def test_it_has_no_docker_socket(container: Container) -> None:
    assert shell(container, "ls /var/run/docker.sock")[0] != 0


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_limits(compose: ComposeCluster, service: str) -> None:
    limits = compose.container(service).attrs["HostConfig"]

    assert limits["Memory"] > 0
    assert limits["PidsLimit"] > 0


def test_a_model_reaches_the_services_but_not_redis(compose: ComposeCluster, replica: Container) -> None:
    [redis] = compose.container("redis").attrs["NetworkSettings"]["Networks"].values()

    assert replica.exec_run(["python", "-c", REACHES, "management", "7000"])[0] == 0
    assert replica.exec_run(["python", "-c", REACHES, redis["IPAddress"], "6379"])[0] != 0
    says_why_it_failed(replica, f"python -c '{REACHES}' redis 6379 2>&1", "not known")


@pytest.mark.parametrize("service", ["query", "management"])
def test_the_engine_waits_longer_than_a_service_drains(compose: ComposeCluster, service: str) -> None:
    configured = compose.container(service).attrs["Config"]
    variables = dict(variable.split("=", 1) for variable in configured["Env"])

    assert configured["StopTimeout"] > float(variables["CLIPPER_DRAIN_GRACE_S"]) + 5
