"""Models whose packages, or whose Python, are not those of their containers: they run in processes of their own."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from clipper_admin import ClipperConnection, ClipperException
from clipper_admin.deployers import python as python_deployer
from clipper_admin.hosts.process import environments
from tests.fixtures.interpreters import interpreters, uv
from tests.fixtures.model_containers import ContainerProcess, Stream, request, save
from tests.fixtures.processes import processes, wait_for_another
from tests.fixtures.waiting import wait_until

# An environment is downloaded.
pytestmark = pytest.mark.timeout(600)
SLO_MICROS = 20_000_000
SAVE = """
import sys, cloudpickle

def predict(inputs):
    return [f"{sys.version_info.major}.{sys.version_info.minor}: {row.sum()}" for row in inputs]

with open(sys.argv[1], "wb") as file:
    cloudpickle.dump(predict, file)
"""


@pytest.fixture
def application(cluster: ClipperConnection, request: pytest.FixtureRequest) -> Iterator[str]:
    """A name for one test's application and model, which do not outlive it."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_").lower())[-60:].strip("-")
    cluster.register_application(name, "doubles", "none", SLO_MICROS)
    yield name
    cluster.stop_models([name])


def answers(cluster: ClipperConnection, application: str, *rows: Sequence[float]) -> list[Any]:
    url = f"http://{cluster.get_query_addr()}/{application}/predict"
    told = requests.post(url, json={"input_batch": [*rows]}, timeout=30).json()["batch_predictions"]
    return [answer["output"] if not answer["default"] else answer["default_explanation"] for answer in told]


def deploy(cluster: ClipperConnection, name: str, func: Callable[[Any], Any], *packages: str) -> None:
    python_deployer.deploy_python_closure(cluster, name, 1, "doubles", func, pkgs_to_install=packages)
    cluster.link_model_to_app(name, name)


def image_of(cluster: ClipperConnection, name: str) -> Path:
    described = cluster.get_model_info(name, 1)
    assert described is not None
    return Path(described["container_name"])


def numpys(inputs: Any) -> list[Any]:
    import numpy

    return [{"sum": row.sum(), "version": numpy.__version__, "tenth": numpy.float32(0.1)} for row in inputs]


def protobufs(inputs: Any) -> list[Any]:
    import google.protobuf
    from google.protobuf.struct_pb2 import Value

    values = [Value.FromString(Value(number_value=row.sum()).SerializeToString()) for row in inputs]
    return [{"sum": value.number_value, "version": google.protobuf.__version__} for value in values]


def grpcs(inputs: Any) -> list[Any]:
    import grpc

    return [{"sum": row.sum(), "version": grpc.__version__} for row in inputs]


def cloudpickles(inputs: Any) -> list[Any]:
    import cloudpickle

    return [{"sum": row.sum(), "version": cloudpickle.__version__} for row in inputs]


@pytest.mark.parametrize(
    ("package", "version", "func"),
    [
        pytest.param("numpy", "1.26.4", numpys, marks=pytest.mark.essential),
        ("protobuf", "4.25.3", protobufs),
        ("grpcio", "1.60.2", grpcs),
        ("cloudpickle", "2.2.1", cloudpickles),
    ],
    ids=["numpy", "protobuf", "grpcio", "cloudpickle"],
)
def test_a_model_has_the_version_that_it_asks_for_of_what_its_container_is_made_of(
    cluster: ClipperConnection, application: str, package: str, version: str, func: Callable[[Any], Any]
) -> None:
    deploy(cluster, application, func, f"{package}=={version}")

    first, second = answers(cluster, application, [1.0, 2.5], [3.0, 4.0])

    assert (first["sum"], second["sum"], first["version"]) == (3.5, 7.0, version)
    assert first.get("tenth", 0.1) == 0.1
    lock = (image_of(cluster, application) / "requirements.lock").read_text()
    assert f"{package}=={version}\n" in lock
    assert "numpy==" in lock


@pytest.mark.essential
def test_packages_that_agree_with_the_container_cost_no_process(cluster: ClipperConnection, application: str) -> None:
    def named(inputs: Any) -> list[Any]:
        import os

        import iniconfig
        import numpy

        return [[os.getpid(), iniconfig.__name__, numpy.__version__] for _ in inputs]

    deploy(cluster, application, named, "iniconfig==2.3.1")

    [[pid, module, numpy_version]] = answers(cluster, application, [0.5])

    container = processes(cluster)[f"{application}_1-0"]
    assert container is not None
    assert (pid, module, numpy_version) == (container.pid, "iniconfig", np.__version__)
    lock = (image_of(cluster, application) / "requirements.lock").read_text().splitlines()
    assert {"iniconfig==2.3.1", f"numpy=={np.__version__}"} <= set(lock)


@pytest.mark.parametrize("python", ["3.12", "3.13"])
def test_a_model_of_another_python_is_served(
    cluster: ClipperConnection, application: str, tmp_path: Path, python: str
) -> None:
    if python not in interpreters():
        pytest.skip(f"this machine has no Python {python}")
    program = str(interpreters()[python].program)
    trained = environments.provide(Path(os.environ["CLIPPER_HOME"]), [], program)
    subprocess.run((trained.python, "-c", SAVE, tmp_path / "func.pkl"), check=True)

    cluster.build_and_deploy_model(application, 1, "doubles", str(tmp_path), "default", python=program)
    cluster.link_model_to_app(application, application)

    assert answers(cluster, application, [1.0, 2.5], [3.0]) == [f"{python}: 3.5", f"{python}: 3.0"]


def test_a_python_that_is_nowhere_is_refused_with_what_to_do(cluster: ClipperConnection, tmp_path: Path) -> None:
    (tmp_path / "func.pkl").write_bytes(b"")

    for python, remedy in (("3.99", "by its path"), ("3.10", "3.11 or newer"), ("/no/python", "as in '3.12'")):
        with pytest.raises(ClipperException, match=remedy):
            cluster.build_model("nowhere", 1, str(tmp_path), "default", python=python)


def test_packages_that_nothing_agrees_with_fail_with_the_resolvers_words(cluster: ClipperConnection) -> None:
    with pytest.raises(ClipperException, match=r"(?s)^Could not install numpy==1.26.4, numpy==2.4.6:\n.*conflict"):
        deploy(cluster, "impossible", numpys, "numpy==1.26.4", "numpy==2.4.6")

    assert not cluster.get_all_models(verbose=True) or all(
        model["model_name"] != "impossible" for model in cluster.get_all_models(verbose=True)
    )


def test_a_model_whose_process_dies_is_back_as_its_container_would_be(
    cluster: ClipperConnection, application: str
) -> None:
    def mortal(inputs: Any) -> list[Any]:
        import os
        import signal

        if inputs[0][0] == 13.0:
            os.kill(os.getpid(), signal.SIGSEGV)
        return [os.getpid() for _ in inputs]

    deploy(cluster, application, mortal, "numpy==1.26.4")
    [model] = answers(cluster, application, [1.0])
    container = processes(cluster)[f"{application}_1-0"]
    assert container is not None
    assert model != container.pid

    answers(cluster, application, [13.0])
    wait_for_another(cluster, f"{application}_1-0", container.pid)
    os.kill(answered(cluster, application, not_by=model), signal.SIGKILL)

    assert answered(cluster, application, not_by=model) != model


def answered(cluster: ClipperConnection, application: str, *, not_by: int) -> int:
    """The process that answers, once it is another one."""
    found: list[int] = []
    numbers = iter(range(100, 10_000))

    def holds() -> bool:
        [answer] = answers(cluster, application, [float(next(numbers))])
        found.append(answer)
        return isinstance(answer, int) and answer != not_by

    wait_until(holds)
    return found[-1]


def test_a_model_process_that_stays_stopped_ends_its_container_which_is_started_again(tmp_path: Path) -> None:
    def own_pid(inputs: Any) -> list[int]:
        return [os.getpid() for _ in inputs]

    with ContainerProcess(save(tmp_path, own_pid), model_python=sys.executable, predict_timeout_s="0.5") as container:
        stream = Stream(container.address())
        model = int(stream.ask(request([[1.0]]))[0].outputs[0])
        os.kill(model, signal.SIGSTOP)
        stream.send(request([[1.0]]))

        assert container.end()[0] == 5

        assert "the model has not returned" in str(container.log)
        stream.cancel()


def test_uv_makes_and_fills_environments_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{uv().parent}:{os.environ['PATH']}")
    # Nobody has pip.
    (tmp_path / "pip.py").write_text("raise SystemExit(1)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    together = environments.provide(tmp_path, ["iniconfig==2.3.1"])
    apart = environments.provide(tmp_path, ["numpy==1.26.4"])

    assert (together.is_apart, apart.is_apart) == (False, True)
    program = "import numpy, json, services.model_runtime; print(json.dumps(numpy.__version__))"
    told = [json.loads(subprocess.check_output((each.python, "-P", "-c", program))) for each in (together, apart)]
    assert told == [np.__version__, "1.26.4"]
    assert apart.lock is not None
    assert "numpy==1.26.4" in apart.lock.read_text().splitlines()
