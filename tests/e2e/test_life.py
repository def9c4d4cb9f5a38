"""The life of a deployment: repeated, numbered, replaced, undone, and freed with all that it had."""

import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from clipper_admin import ClipperConnection, ClipperException
from clipper_admin.deployers import python as python_deployer
from clipper_admin.hosts.identity import ProcessIdentity
from tests.e2e.conftest import NewCluster, free_ports_manager
from tests.fixtures.clients import RestClient
from tests.fixtures.functions import feature_sum
from tests.fixtures.gates import Gate, Gated
from tests.fixtures.local_clusters import local
from tests.fixtures.processes import processes
from tests.fixtures.wheels import wheel

COUNTER = itertools.count()
SLO_MICROS = 5_000_000
FIRST_PREDICTION_WITHIN_S = 3.0


@pytest.fixture
def name(cluster: ClipperConnection) -> Iterator[str]:
    """A name that no other test uses, of an application and a model; afterwards there is neither."""
    name = f"life-{next(COUNTER)}"
    yield name
    cluster.stop_models([name])
    if name in cluster.get_all_apps():
        cluster.unregister_application(name)


def saying(text: str) -> Callable[[Sequence[Any]], list[str]]:
    return lambda inputs: [text for _ in inputs]


def endpoint(cluster: ClipperConnection, name: str, function: Callable[..., Any], **options: Any) -> str:
    return python_deployer.create_endpoint(cluster, name, "doubles", function, slo_micros=SLO_MICROS, **options)


def says(cluster: ClipperConnection, application: str, numbers: Sequence[float] = (1.0,)) -> object:
    with RestClient(cluster.get_query_addr(), application) as client:
        return client.ask(numbers).output


def images_of(cluster: ClipperConnection, name: str) -> list[Path]:
    return sorted(local(cluster).directory.images.glob(f"{name}_*"))


def replicas_of(cluster: ClipperConnection, name: str) -> dict[str, ProcessIdentity | None]:
    return {process: identity for process, identity in processes(cluster).items() if process.startswith(f"{name}_1-")}


class Broken:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return eval, ("1/0",)

    def __call__(self, inputs: object) -> object:
        return inputs


# Repeated


def test_a_cell_that_is_run_twice_does_nothing_the_second_time(cluster: ClipperConnection, name: str) -> None:
    def cell() -> str:
        def function(inputs: Sequence[Any]) -> list[str]:
            return [str(sum(vector)) for vector in inputs if str(vector) not in {"a", "b"}]

        return endpoint(cluster, name, function, exist_ok=True)

    assert cell() == "1"
    replicas = replicas_of(cluster, name)

    assert cell() == "1"

    assert replicas_of(cluster, name) == replicas
    assert len(replicas) == 1
    assert len(images_of(cluster, name)) == 1
    assert says(cluster, name, [1.0, 2.0]) == 3.0


def test_each_part_of_an_endpoint_may_exist_if_it_is_the_same(cluster: ClipperConnection, name: str) -> None:
    endpoint(cluster, name, feature_sum)

    cluster.register_application(name, "doubles", "None", SLO_MICROS, exist_ok=True)
    cluster.link_model_to_app(name, name, exist_ok=True)
    with pytest.raises(ClipperException, match=r"slo_micros 5000000 instead of 1"):
        cluster.register_application(name, "doubles", "None", 1, exist_ok=True)
    with pytest.raises(ClipperException, match="batching_policy '' instead of 'aimd'"):
        endpoint(cluster, name, feature_sum, exist_ok=True, batching_policy="aimd")


def test_other_code_is_no_repetition_and_takes_its_place_only_when_that_is_meant(
    cluster: ClipperConnection, name: str
) -> None:
    endpoint(cluster, name, saying("old"))
    assert says(cluster, name) == "old"

    with pytest.raises(ClipperException, match=r"already exists, with other code\. replace=True puts"):
        endpoint(cluster, name, saying("new"), exist_ok=True)
    assert says(cluster, name) == "old"
    endpoint(cluster, name, saying("new"), exist_ok=True, replace=True)

    assert says(cluster, name) == "new"
    assert cluster.get_all_models().count(f"{name}:1") == 1
    assert cluster.get_num_replicas(name, 1) == 1
    assert len(images_of(cluster, name)) == 1


def test_a_version_is_replaced_without_one_default_output(cluster: ClipperConnection, name: str) -> None:
    endpoint(cluster, name, saying("old"))
    answers: list[object] = []
    replaced = threading.Event()

    def ask() -> None:
        with RestClient(cluster.get_query_addr(), name) as client:
            while not replaced.is_set():
                answers.append(client.ask([float(len(answers)), 2.0]).output)

    with ThreadPoolExecutor(1, thread_name_prefix="client") as client:
        asking = client.submit(ask)
        try:
            endpoint(cluster, name, saying("new"), exist_ok=True, replace=True)
        finally:
            replaced.set()
        asking.result()

    assert set(answers) <= {"old", "new"}
    # Of the first query there was an answer of the old one, which is not kept.
    assert [says(cluster, name, [0.0, 2.0]) for _ in range(10)] == ["new"] * 10


def test_a_replacement_that_fails_leaves_what_it_was_to_replace(cluster: ClipperConnection, name: str) -> None:
    endpoint(cluster, name, saying("old"))

    with pytest.raises(ClipperException, match="ZeroDivisionError"):
        python_deployer.deploy_python_closure(cluster, name, 1, "doubles", Broken(), replace=True)
    with pytest.raises(ClipperException, match="takes doubles, and cannot be replaced by what takes something else"):
        python_deployer.deploy_python_closure(cluster, name, 1, "strings", saying("new"), replace=True)

    assert says(cluster, name) == "old"
    assert len(images_of(cluster, name)) == 1


# Numbered


def test_without_a_version_the_next_one_is_deployed_unless_it_is_the_same(
    cluster: ClipperConnection, name: str
) -> None:
    def deploy(text: str, **options: Any) -> str:
        return python_deployer.deploy_python_closure(
            cluster, name, None, "doubles", saying(text), num_replicas=0, **options
        )

    cluster.register_model(name, "v9", "doubles")

    assert [deploy("a"), deploy("a"), deploy("a", exist_ok=True), deploy("b", exist_ok=True)] == ["1", "2", "2", "3"]
    assert cluster.get_current_model_version(name) == "3"
    with pytest.raises(ClipperException, match="replace=True needs the version"):
        deploy("c", replace=True)


def test_programs_that_ask_for_the_next_version_at_once_get_one_each_with_their_own_code(
    cluster: ClipperConnection, name: str
) -> None:
    texts = ("a", "b", "c")
    cluster.register_application(name, "doubles", "None", SLO_MICROS)

    def deploy(text: str) -> str:
        connection = ClipperConnection(free_ports_manager(cluster.cm.cluster_identifier))
        connection.connect()
        return python_deployer.deploy_python_closure(connection, name, None, "doubles", saying(text), check=False)

    with ThreadPoolExecutor(len(texts), thread_name_prefix="program") as programs:
        versions = dict(zip(texts, programs.map(deploy, texts), strict=True))

    assert sorted(versions.values()) == ["1", "2", "3"]
    cluster.link_model_to_app(name, name)
    for text, version in versions.items():
        cluster.set_model_version(name, version)
        assert says(cluster, name, [float(version)]) == text


# Undone


def test_an_endpoint_that_failed_is_created_by_the_corrected_call(cluster: ClipperConnection, name: str) -> None:
    with pytest.raises(ClipperException, match="ZeroDivisionError"):
        endpoint(cluster, name, Broken())
    assert name not in cluster.get_all_apps()
    assert images_of(cluster, name) == []

    endpoint(cluster, name, saying("corrected"))

    assert says(cluster, name) == "corrected"


def test_an_endpoint_that_cannot_be_linked_leaves_all_as_it_was(cluster: ClipperConnection, name: str) -> None:
    other = f"{name}-other"
    endpoint(cluster, other, saying("other"))
    cluster.register_application(name, "doubles", "None", SLO_MICROS)
    cluster.link_model_to_app(name, other)
    cluster.register_model(name, "before", "doubles")

    with pytest.raises(ClipperException, match="unlink_model_from_app"):
        endpoint(cluster, name, saying("second"), exist_ok=True)

    assert cluster.get_linked_models(name) == [other]
    assert [model for model in cluster.get_all_models() if model.startswith(f"{name}:")] == [f"{name}:before"]
    assert cluster.get_current_model_version(name) == "before"
    assert images_of(cluster, name) == []
    cluster.unregister_application(other)
    cluster.stop_models([other])


def test_what_a_killed_program_has_begun_is_gone_on_with_and_pruned(cluster: ClipperConnection, name: str) -> None:
    with Gate().guarded() as gate:
        program = f"""
from clipper_admin import ClipperConnection, ProcessContainerManager
from clipper_admin.deployers import python
from tests.fixtures.gates import Gated
connection = ClipperConnection(ProcessContainerManager({cluster.cm.cluster_identifier!r}))
connection.connect()
model = Gated("127.0.0.1", {gate.port}, "killed")
python.create_endpoint(connection, {name!r}, "doubles", model, slo_micros={SLO_MICROS})
"""
        with subprocess.Popen((sys.executable, "-c", program)) as killed:
            assert gate.arrived.wait(60)
            killed.kill()
        [left] = images_of(cluster, name)

        assert endpoint(cluster, name, saying("healed"), exist_ok=True) == "1"

    assert says(cluster, name) == "healed"
    assert str(left) in {each.name for each in cluster.cm.prune(dry_run=True)}
    assert left in images_of(cluster, name)
    [kept] = set(images_of(cluster, name)) - {left}
    cluster.cm.prune()
    assert images_of(cluster, name) == [kept]
    assert says(cluster, name, [2.0]) == "healed"


# Freed


def occupied(home: Path) -> int:
    """The bytes that files under a home take, but for logs, locks and the store."""
    files = (path for path in home.rglob("*") if path.is_file() and not {"logs", "redis"} & {*path.parts})
    return sum(file.stat().st_blocks for file in files) * 512


def test_after_twenty_deployments_and_stop_models_the_disk_is_as_before(
    cluster: ClipperConnection, new_cluster: NewCluster, clipper_home: Path, name: str, tmp_path: Path
) -> None:
    another = new_cluster("another")
    another.start_clipper()
    own, shared = wheel(tmp_path, "own"), wheel(tmp_path, "shared")
    model = tmp_path / "model"
    model.mkdir()
    (model / "func.pkl").write_bytes(b"never loaded" * 10_000)

    def deploy(connection: ClipperConnection, version: int, package: str) -> None:
        connection.build_and_deploy_model(
            name, version, "doubles", str(model), "default", num_replicas=0, pkgs_to_install=[package]
        )

    deploy(another, 1, shared)
    before = occupied(clipper_home)
    environments = set((clipper_home / "environments").glob("*/"))
    for version in range(20):
        deploy(cluster, version, (shared, own)[version % 2])
    assert occupied(clipper_home) > before + 20 * 100_000

    cluster.stop_models([name])

    assert abs(occupied(clipper_home) - before) < 20_000
    assert set((clipper_home / "environments").glob("*/")) == environments
    another.stop_all()
    assert len(set((clipper_home / "environments").glob("*/"))) == len(environments) - 1


def test_an_environment_that_was_made_for_programs_outlives_the_models_that_use_it(
    cluster: ClipperConnection, name: str, tmp_path: Path
) -> None:
    package = wheel(tmp_path, "programs")
    command = [sys.executable, "-m", "clipper_admin", "environment", package]
    python = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ).stdout.strip()
    (tmp_path / "func.pkl").write_bytes(b"never loaded")
    cluster.build_and_deploy_model(
        name, 1, "doubles", str(tmp_path / "func.pkl"), "default", num_replicas=0, pkgs_to_install=[package]
    )

    cluster.stop_models([name])

    assert Path(python).exists()


def test_an_image_is_freed_with_the_last_version_that_has_it(cluster: ClipperConnection, name: str) -> None:
    python_deployer.deploy_python_closure(cluster, name, 1, "doubles", saying("shared"), num_replicas=0, check=False)
    [image] = images_of(cluster, name)
    cluster.deploy_model(name, 2, "doubles", str(image), num_replicas=0)

    cluster.stop_versioned_models({name: [1]})
    assert image.exists()
    cluster.stop_versioned_models({name: [2]})
    assert not image.exists()


def test_an_image_that_another_cluster_runs_outlives_the_one_that_built_it(
    cluster: ClipperConnection, new_cluster: NewCluster, name: str
) -> None:
    builder = new_cluster("builder")
    builder.start_clipper()
    python_deployer.deploy_python_closure(builder, name, 1, "doubles", saying("shared"), num_replicas=0, check=False)
    [image] = images_of(builder, name)
    cluster.register_application(name, "doubles", "None", SLO_MICROS)
    cluster.deploy_model(name, 1, "doubles", str(image))
    cluster.link_model_to_app(name, name)

    builder.stop_models([name])
    builder.stop_all()
    assert str(image) not in {each.name for each in cluster.cm.prune()}
    cluster.set_num_replicas(name, 2)
    assert says(cluster, name) == "shared"

    cluster.stop_models([name])
    assert str(image) in {each.name for each in cluster.cm.prune()}
    assert not image.exists()


def test_clipper_prune_says_what_it_frees(cluster: ClipperConnection, name: str, tmp_path: Path) -> None:
    (tmp_path / "func.pkl").write_bytes(b"never loaded" * 100_000)
    image = cluster.build_model(name, 1, str(tmp_path), "default")

    def prune(*arguments: str) -> str:
        command = [sys.executable, "-m", "clipper_admin", "prune", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ).stdout

    listed = prune("--dry-run")
    assert f"image {image}: 1.2 MB\n" in listed
    assert "Would free " in listed
    assert Path(image).exists()
    freed = prune()
    assert freed == listed.replace("Would free", "Freed")
    assert not Path(image).exists()
    assert prune() == "Freed 0.0 MB\n"


# Limits


def test_a_deployment_waits_no_longer_than_it_is_told_to(cluster: ClipperConnection, name: str) -> None:
    with Gate().guarded() as gate:
        model = Gated("127.0.0.1", gate.port, "late")
        # Whoever waits for the replica and the replica itself have the same limit; either may be the first to say so.
        told = r"did not become ready within load_timeout_s=2\.|has not been loaded within 2 s"
        with pytest.raises(ClipperException, match=told):
            python_deployer.deploy_python_closure(cluster, name, 1, "doubles", model, check=False, load_timeout_s=2)

    assert cluster.get_num_replicas(name, 1) == 0
    with pytest.raises(ClipperException, match="load_timeout_s must be a positive number"):
        python_deployer.deploy_python_closure(cluster, name, 1, "doubles", model, load_timeout_s=0)


@pytest.mark.alone
def test_a_function_predicts_within_three_seconds_of_its_deployment(cluster: ClipperConnection, name: str) -> None:
    cluster.register_application(name, "doubles", "None", SLO_MICROS)

    def first_prediction_s(version: int) -> float:
        began_s = time.monotonic()
        python_deployer.deploy_python_closure(cluster, name, version, "doubles", saying(str(version)))
        cluster.link_model_to_app(name, name, exist_ok=True)
        assert says(cluster, name) == version
        return time.monotonic() - began_s

    assert min(map(first_prediction_s, (1, 2, 3))) < FIRST_PREDICTION_WITHIN_S
