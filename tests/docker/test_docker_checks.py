"""A model's image is run once before its replicas are: with its packages, files and variables, and nothing of ours."""

import ctypes
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
import requests

from clipper_admin import ClipperConnection, ClipperException
from clipper_admin.deployers import python as python_deployer
from tests.docker.test_docker_models import ask, endpoint
from tests.fixtures.docker_clusters import replicas

# Longer than it takes until a model is being loaded, whatever else runs.
CHECK_S = 20
VALUE = "two words, $HOME and \"'\nothers"


@pytest.fixture
def name(docker_cluster: ClipperConnection, request: pytest.FixtureRequest) -> Iterator[str]:
    """A name for a model of the test's own, of which nothing is left afterwards."""
    name = request.node.name.partition("[")[0].removeprefix("test_")[:30].replace("_", "-").strip("-")
    yield name
    docker_cluster.stop_models([name])


class _Dies:
    def __init__(self) -> None:
        ctypes.string_at(0)

    def predict(self, inputs: Any) -> list[str]:
        return [""] * len(inputs)


class _Hangs(_Dies):
    def __init__(self) -> None:
        self.wait_for_ever()

    def wait_for_ever(self) -> None:
        threading.Event().wait()


class _NeedsFile(_Dies):
    def __init__(self) -> None:
        self.words = open("stopwords.txt").read()  # noqa: SIM115


class _NeedsPackage(_Dies):
    def __init__(self) -> None:
        self.session = requests.Session()


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (_Dies, "was killed by SIGSEGV while it was loaded"),
        (_Hangs, f"had not ended after {CHECK_S} s"),
        (_NeedsFile, "files=['stopwords.txt']"),
        (_NeedsPackage, "pkgs_to_install=['requests=="),
    ],
)
def test_what_fails_is_told_and_nothing_is_left(
    engine: docker.DockerClient,
    docker_cluster: ClipperConnection,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    model: Any,
    told: str,
) -> None:
    monkeypatch.setenv("CLIPPER_CHECK_TIMEOUT_S", str(CHECK_S) if model is _Hangs else "60")

    with pytest.raises(ClipperException) as refused:
        python_deployer.deploy_python_closure(docker_cluster, name, 1, "doubles", model)

    assert told in refused.value.msg
    assert ("in wait_for_ever" in refused.value.msg) == (model is _Hangs)
    assert replicas(engine, docker_cluster, name, "1") == []
    image = f"{docker_cluster.cm.cluster_identifier}-{name}:1"
    assert [tag for each in engine.images.list() for tag in each.tags if tag == image] == []
    assert docker_cluster.get_model_info(name, 1) is None


def test_files_and_variables_are_in_the_image(
    docker_cluster: ClipperConnection, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "weights.txt").write_text("3")

    def predict(inputs: Any) -> list[Any]:
        weight = float(Path("data/weights.txt").read_text())
        return [[os.environ["UNIT"], weight * row[0]] for row in inputs]

    endpoint(docker_cluster, name, predict, check=True, files=["data"], env={"UNIT": VALUE}, sample_input=[1.5])
    docker_cluster.set_num_replicas(name, 2)

    assert [ask(docker_cluster, name, [number]).output for number in (1.0, 2.0)] == [[VALUE, 3.0], [VALUE, 6.0]]
