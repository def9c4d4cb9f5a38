"""DockerContainerManager's models: built, deployed, confined, limited, scaled, stopped."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import docker
import pytest
import requests

from clipper_admin import ClipperConnection, ClipperException, Resources
from clipper_admin.deployers import python as python_deployer
from tests.fixtures.clients import Answer, RestClient
from tests.fixtures.docker_clusters import NETWORK, containers, crash, manager, of_role, replicas
from tests.fixtures.docker_engine import MANAGEMENT_IMAGE
from tests.fixtures.functions import feature_sum, telling
from tests.fixtures.waiting import wait_until

SLO_MICROS = 5_000_000
# As nobody builds images of a Python to come.
ANOTHER_PYTHON = "3.99"
# From the call that deploys a function to its first answer, with images at hand.
FIRST_PREDICTION_WITHIN_S = 10.0
# Long before its time to load is over, also while others build images.
FAILURE_WITHIN_S = 60.0


@pytest.fixture
def name(docker_cluster: ClipperConnection, request: pytest.FixtureRequest) -> Iterator[str]:
    """A name for one test's application and model, none of which is left afterwards."""
    name = request.node.originalname.removeprefix("test_").replace("_", "-")[:40].rstrip("-")
    yield name
    docker_cluster.stop_models([name])
    if name in docker_cluster.get_all_apps():
        docker_cluster.unregister_application(name)


def endpoint(
    connection: ClipperConnection, name: str, function: Callable[..., Any], *, check: bool = False, **options: Any
) -> None:
    """An application and a model of the same name, which is checked before it is deployed only if asked for."""
    python_deployer.create_endpoint(
        connection, name, "doubles", function, slo_micros=SLO_MICROS, check=check, **options
    )


def ask(connection: ClipperConnection, application: str, numbers: Sequence[float]) -> Answer:
    with RestClient(connection.get_query_addr(), application) as client:
        return client.ask(numbers)


@pytest.mark.alone
def test_a_function_predicts_within_seconds_of_its_deployment(docker_cluster: ClipperConnection, name: str) -> None:
    started_s = time.monotonic()

    endpoint(docker_cluster, name, feature_sum, check=True)
    answer = ask(docker_cluster, name, [1.1, 2.2, 3.3])

    assert answer.output == 6.6
    assert answer.received_s - started_s < FIRST_PREDICTION_WITHIN_S


def test_a_model_is_confined(engine: docker.DockerClient, docker_cluster: ClipperConnection, name: str) -> None:
    [redis] = of_role(engine, docker_cluster, "redis")
    [network] = redis.attrs["NetworkSettings"]["Networks"].values()
    redis_hosts = [network["IPAddress"], redis.attrs["Config"]["Hostname"]]

    def explore(inputs: Sequence[Any]) -> list[str]:
        import os
        import socket
        from pathlib import Path

        def can_write(path: str) -> bool:
            try:
                Path(path, "probe").write_text("x")
            except OSError:
                return False
            return True

        def reaches(host: str) -> bool:
            try:
                socket.create_connection((host, 6379), timeout=0.3).close()
            except OSError:
                return False
            return True

        found = {
            "writable": [path for path in ("/", "/model", "/srv/clipper", "/etc", "/tmp") if can_write(path)],  # noqa: S108
            "uid": os.getuid(),
            "capabilities": int(Path("/proc/self/status").read_text().split("CapEff:")[1].split()[0], 16),
            "redis": [host for host in redis_hosts if reaches(host)],
            "docker_socket": os.path.exists("/var/run/docker.sock"),
        }
        return [json.dumps(found) for _ in inputs]

    endpoint(docker_cluster, name, explore)

    assert ask(docker_cluster, name, [0.5]).output == {
        "writable": ["/tmp"],  # noqa: S108
        "uid": 10001,
        "capabilities": 0,
        "redis": [],
        "docker_socket": False,
    }


def test_an_image_that_runs_as_root_is_run_as_an_ordinary_user(
    engine: docker.DockerClient, docker_cluster: ClipperConnection, name: str, tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM {build_sum(docker_cluster, name, tmp_path)}\nUSER root\n")
    image, _log = engine.images.build(path=str(tmp_path), tag=f"{name}:root", rm=True)

    docker_cluster.deploy_model(name, 1, "doubles", f"{name}:root")

    [replica] = replicas(engine, docker_cluster, name, "1")
    assert replica.attrs["Config"]["User"] == "65534"
    docker_cluster.stop_models([name])
    engine.images.remove(str(image.id), force=True)


def build_sum(connection: ClipperConnection, name: str, directory: Path) -> str:
    import cloudpickle

    (directory / "model").mkdir()
    (directory / "model" / "func.pkl").write_bytes(cloudpickle.dumps(lambda rows: [str(sum(row)) for row in rows]))
    return connection.build_model(name, 1, str(directory / "model"), "default")


def test_an_image_is_built_once_and_deployed_by_its_name(
    docker_cluster: ClipperConnection, name: str, tmp_path: Path
) -> None:
    image = build_sum(docker_cluster, name, tmp_path)

    docker_cluster.register_application(name, "doubles", "0", SLO_MICROS)
    docker_cluster.deploy_model(name, 1, "doubles", image, labels=["built"])
    docker_cluster.link_model_to_app(name, name)

    assert image == f"{docker_cluster.cm.cluster_identifier}-{name}:1"
    assert ask(docker_cluster, name, [1.0, 2.0]).output == 3.0
    description = docker_cluster.get_model_info(name, 1)
    assert description is not None
    assert (description["container_name"], description["labels"]) == (image, ["built"])


def test_packages_that_a_model_asks_for_are_in_its_image(docker_cluster: ClipperConnection, name: str) -> None:
    def describe(inputs: Sequence[Any]) -> list[str]:
        import emoji  # type: ignore[import-not-found]

        return [emoji.emojize(":thumbs_up:") for _ in inputs]

    endpoint(docker_cluster, name, describe, pkgs_to_install=["emoji>=2,<3"])

    assert ask(docker_cluster, name, [1.0]).output == "\N{THUMBS UP SIGN}"


def test_a_package_that_cannot_be_installed_fails_the_build_with_what_pip_said(
    docker_cluster: ClipperConnection, name: str
) -> None:
    with pytest.raises(ClipperException, match="No matching distribution found for clipper-has-no-such"):
        python_deployer.deploy_python_closure(
            docker_cluster, name, 1, "doubles", feature_sum, pkgs_to_install=["clipper-has-no-such-package"]
        )

    assert docker_cluster.get_all_models() == []


def test_a_python_that_no_image_has_is_refused_with_what_to_do(
    docker_cluster: ClipperConnection, name: str, tmp_path: Path
) -> None:
    (tmp_path / "func.pkl").write_bytes(b"never loaded")

    with pytest.raises(ClipperException, match=f"(?s)The model needs python{ANOTHER_PYTHON}, which is.*BASE_IMAGE"):
        docker_cluster.build_model(name, 1, str(tmp_path), "default", python=ANOTHER_PYTHON)
    with pytest.raises(ClipperException, match=r"as in '3\.12', not"):
        docker_cluster.build_model(name, 1, str(tmp_path), "default", python=sys.executable)


def test_an_image_is_pushed_only_to_a_registry_that_was_named(
    docker_cluster: ClipperConnection, tmp_path: Path
) -> None:
    (tmp_path / "func.pkl").write_bytes(b"never loaded")

    with pytest.raises(ClipperException, match=r"localhost:1/shared-.*-pushed:1 cannot be pushed"):
        docker_cluster.build_model("pushed", 1, str(tmp_path), "default", container_registry="localhost:1")


def test_a_model_that_cannot_be_loaded_fails_its_deployment_with_its_own_log(
    engine: docker.DockerClient, docker_cluster: ClipperConnection, name: str
) -> None:
    class Exploding:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
            return eval, ("1/0",)

        def __call__(self, inputs: object) -> object:
            return inputs

    started_s = time.monotonic()
    with pytest.raises(ClipperException, match=r"ended with exit code 4 before it was ready(?s:.*)ZeroDivisionError"):
        python_deployer.deploy_python_closure(docker_cluster, name, 1, "doubles", Exploding(), check=False)

    assert time.monotonic() - started_s < FAILURE_WITHIN_S
    assert replicas(engine, docker_cluster, name, "1") == []
    assert docker_cluster.get_model_info(name, 1) is None


def test_a_model_whose_package_is_missing_says_how_to_ask_for_it(docker_cluster: ClipperConnection, name: str) -> None:
    with pytest.raises(ClipperException, match=r"pkgs_to_install=\['requests==[0-9.]+'\]"):
        python_deployer.deploy_python_closure(docker_cluster, name, 1, "doubles", requests.get)


def test_limits_hold_for_all_replicas_also_of_a_later_interpreter(
    engine: docker.DockerClient, docker_cluster: ClipperConnection, name: str
) -> None:
    limits = Resources(cpus=0.5, memory_bytes=300 << 20)
    limited = ClipperConnection(manager("shared", model_resources={name: limits}))
    limited.connect()
    endpoint(limited, name, feature_sum)

    docker_cluster.set_num_replicas(name, 2)

    options = [replica.attrs["HostConfig"] for replica in replicas(engine, docker_cluster, name, "1")]
    assert [(each["NanoCpus"], each["Memory"], each["MemorySwap"]) for each in options] == [
        (500_000_000, 300 << 20, 300 << 20)
    ] * 2


def test_a_model_that_outgrows_its_memory_is_killed_and_comes_back(
    engine: docker.DockerClient, docker_cluster: ClipperConnection, name: str
) -> None:
    limited = ClipperConnection(manager("shared", model_resources={name: Resources(memory_bytes=200 << 20)}))
    limited.connect()

    def greedy(inputs: Sequence[Any]) -> list[str]:
        return [str(len(bytes(int(row[0])) if row[0] < 1e6 else b"x" * int(row[0]))) for row in inputs]

    endpoint(limited, name, greedy, default_output="too much")

    assert ask(limited, name, [400e6]).is_default
    wait_until(lambda: ask(limited, name, [1000.0]).output == 1000, within_s=30)
    assert limited.get_num_replicas(name) == 1


def test_a_gpu_that_the_machine_lacks_is_refused_in_the_engines_words(
    engine: docker.DockerClient, docker_cluster: ClipperConnection, name: str
) -> None:
    wishful = ClipperConnection(manager("shared", model_resources={name: Resources(gpus=1)}))
    wishful.connect()

    with pytest.raises(ClipperException, match=r"could not select device driver.*gpu"):
        python_deployer.deploy_python_closure(wishful, name, 1, "doubles", feature_sum)

    assert replicas(engine, docker_cluster, name, "1") == []


def test_replicas_are_added_and_removed(
    engine: docker.DockerClient, docker_cluster: ClipperConnection, name: str
) -> None:
    endpoint(docker_cluster, name, feature_sum, num_replicas=2)
    assert docker_cluster.get_num_replicas(name) == 2

    docker_cluster.set_num_replicas(name, 3)
    assert len(replicas(engine, docker_cluster, name, "1")) == 3
    leased = [each for each in docker_cluster.get_all_model_replicas() if each.startswith(f"{name}:1:")]
    assert len(leased) == 3

    oldest = replicas(engine, docker_cluster, name, "1")[0].id
    docker_cluster.set_num_replicas(name, 1)
    assert [replica.id for replica in replicas(engine, docker_cluster, name, "1")] == [oldest]
    assert ask(docker_cluster, name, [1.0, 2.5]).output == 3.5

    docker_cluster.set_num_replicas(name, 0)
    assert replicas(engine, docker_cluster, name, "1") == []


def test_a_replica_that_dies_is_started_again_by_the_engine(
    engine: docker.DockerClient, docker_cluster: ClipperConnection, name: str
) -> None:
    endpoint(docker_cluster, name, feature_sum)
    [replica] = replicas(engine, docker_cluster, name, "1")

    crash(replica)

    wait_until(lambda: ask(docker_cluster, name, [1.0, 2.0]).output == 3.0)
    assert docker_cluster.get_num_replicas(name) == 1


def test_a_replica_that_somebody_killed_is_replaced_on_request(
    engine: docker.DockerClient, docker_cluster: ClipperConnection, name: str
) -> None:
    endpoint(docker_cluster, name, feature_sum)
    [killed] = replicas(engine, docker_cluster, name, "1")
    killed.kill()
    assert docker_cluster.get_num_replicas(name) == 0

    docker_cluster.set_num_replicas(name, 1)

    [replica] = replicas(engine, docker_cluster, name, "1")
    assert replica.id != killed.id
    assert ask(docker_cluster, name, [1.0, 2.0]).output == 3.0


def test_versions_are_stopped_together_with_their_containers(
    engine: docker.DockerClient, docker_cluster: ClipperConnection, name: str
) -> None:
    for version in ("1", "2", "3"):
        python_deployer.deploy_python_closure(docker_cluster, name, version, "doubles", telling(version), check=False)

    docker_cluster.stop_versioned_models({name: [1]})
    assert replicas(engine, docker_cluster, name, "1") == []
    docker_cluster.stop_inactive_model_versions([name])
    assert replicas(engine, docker_cluster, name, "2") == []
    assert docker_cluster.get_num_replicas(name) == 1
    docker_cluster.stop_models([name])
    assert replicas(engine, docker_cluster, name, "3") == []


def test_a_refused_registration_leaves_no_replica(
    engine: docker.DockerClient, docker_cluster: ClipperConnection, name: str
) -> None:
    endpoint(docker_cluster, name, feature_sum)

    with pytest.raises(ClipperException, match="Received error status code"):
        python_deployer.deploy_python_closure(docker_cluster, name, 2, "strings", feature_sum, check=False)

    assert replicas(engine, docker_cluster, name, "2") == []
    assert docker_cluster.get_current_model_version(name) == "1"


def test_a_new_interpreter_deploys_and_predicts(docker_cluster: ClipperConnection, name: str) -> None:
    docker_cluster.register_application(name, "doubles", "0", SLO_MICROS)
    program = (
        "from clipper_admin import ClipperConnection, DockerContainerManager\n"
        "from clipper_admin.deployers import python\n"
        f"manager = DockerContainerManager({docker_cluster.cm.cluster_identifier!r},"
        f" docker_network={NETWORK!r})\n"
        "connection = ClipperConnection(manager)\n"
        "connection.connect()\n"
        "def doubled(rows):\n"
        "    return [str(2 * row[0]) for row in rows]\n"
        f"python.deploy_python_closure(connection, {name!r}, 1, 'doubles', doubled)\n"
        f"connection.link_model_to_app({name!r}, {name!r})\n"
    )

    subprocess.run((sys.executable, "-c", program), check=True, capture_output=True)

    assert ask(docker_cluster, name, [21.0]).output == 42.0


def test_what_is_installed_for_a_model_is_told_and_nothing_is_left_of_the_question(
    engine: docker.DockerClient, docker_cluster: ClipperConnection, name: str
) -> None:
    python_deployer.deploy_python_closure(docker_cluster, name, 1, "doubles", len, num_replicas=0, check=False)
    docker_cluster.register_model(name, "foreign", "doubles", MANAGEMENT_IMAGE)
    before = {each.id for each in containers(engine, docker_cluster)}

    command = [sys.executable, "-m", "clipper_admin", "packages", "--docker", f"{name}:1"]
    command += ["--cluster", docker_cluster.cm.cluster_identifier]
    told = subprocess.run(command, check=True, capture_output=True, text=True)

    assert told.stderr == ""
    assert told.stdout.splitlines() == docker_cluster.get_model_packages(name, 1)
    assert {each.partition("==")[0] for each in told.stdout.splitlines()} >= {"cloudpickle", "grpcio", "numpy"}
    with pytest.raises(ClipperException, match="does not say what is installed in it"):
        docker_cluster.get_model_packages(name, "foreign")
    assert {each.id for each in containers(engine, docker_cluster)} == before
