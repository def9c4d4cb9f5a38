"""What a model needs is looked at before it is shipped: what is missing is told, and what is named travels."""

import base64
import ctypes
import importlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import requests

from clipper_admin import ClipperConnection, ClipperException
from clipper_admin.deployers import python as python_deployer
from clipper_admin.hosts.identity import ProcessIdentity
from tests.fixtures.local_clusters import local
from tests.fixtures.waiting import wait_until

_SLO_MICROS = 10_000_000
_MODEL = "unsound"
# Long before its time to load is over.
_TOLD_WITHIN_S = 60.0
# Longer than it takes until a model is being loaded, whatever else runs.
_CHECK_S = 10
_KILLED_WHILE_CHECKING = """
import os, sys, threading
from clipper_admin import ClipperConnection, ProcessContainerManager
from clipper_admin.deployers import python as python_deployer

class Hangs:
    def __init__(self):
        with open(file, "w") as pid:
            pid.write(f"{os.getpid()} ")
        threading.Event().wait()

    def predict(self, inputs):
        return inputs

file = sys.argv[1]
connection = ClipperConnection(ProcessContainerManager("shared", query_port=0, management_port=0, metrics_port=0))
connection.connect()
python_deployer.deploy_python_closure(connection, "unsound", 1, "doubles", Hangs)
"""


class _Exits:
    def __init__(self) -> None:
        sys.exit(0)

    def predict(self, inputs: Any) -> list[str]:
        return [""] * len(inputs)


class _ExitsAtOnce(_Exits):
    def __init__(self) -> None:
        os._exit(0)


class _Dies(_Exits):
    def __init__(self) -> None:
        ctypes.string_at(0)


class _IsKilled(_Exits):
    def __init__(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class _Raises(_Exits):
    def __init__(self) -> None:
        pass

    def warm_up(self) -> None:
        raise ValueError("cold")


class _NeedsFile(_Exits):
    def __init__(self) -> None:
        self.words = open("stopwords.txt").read()  # noqa: SIM115


class _NeedsFileElsewhere(_Exits):
    def __init__(self) -> None:
        self.words = open("/srv/nowhere/stopwords.txt").read()  # noqa: SIM115


class _NeedsVariable(_Exits):
    def __init__(self) -> None:
        self.key = os.environ["CHECKED_KEY"]


class _NeedsPrivateModule(_Exits):
    def __init__(self) -> None:
        importlib.import_module("private_helpers")


class _LeavesPartsRunning(_Exits):
    def __init__(self) -> None:
        threading.Thread(target=threading.Event().wait, name="never ends").start()
        raise ValueError("half done")


class _PrintsMuch(_Exits):
    def __init__(self) -> None:
        for number in range(200_000):
            print("line", number)  # noqa: T201
        raise ValueError("after much ado")


def _deploy(cluster: ClipperConnection, func: Any, input_type: str = "doubles", **options: Any) -> None:
    python_deployer.deploy_python_closure(cluster, _MODEL, 1, input_type, func, **options)


def _refused(cluster: ClipperConnection, func: Any, input_type: str = "doubles", **options: Any) -> str:
    """What is said of a model that is not deployed, of which nothing is left then."""
    images = local(cluster).directory.images
    before = {*images.iterdir()} if images.exists() else set()
    with pytest.raises(ClipperException) as refused:
        _deploy(cluster, func, input_type, **options)
    assert cluster.get_model_info(_MODEL, 1) is None
    assert [each.model_id for each in cluster.cm.get_components() if each.model_id == f"{_MODEL}:1"] == []
    assert ({*images.iterdir()} if images.exists() else set()) == before
    assert "before it was ready" not in refused.value.msg, "it was started"
    return refused.value.msg


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (_Exits, "failed while it was loaded: SystemExit: 0"),
        (_ExitsAtOnce, "ended with exit code 0 while it was loaded"),
        (_Dies, "was killed by SIGSEGV while it was loaded"),
        (_IsKilled, "was killed by SIGKILL while it was loaded"),
        (_Raises, "failed while it was loaded: ValueError: cold"),
        (_NeedsFile, "'stopwords.txt'. If it is a file of yours, deploy the model with files=['stopwords.txt']"),
        (_NeedsFileElsewhere, "open it by such a path, and name it in files=[...]"),
        (_NeedsVariable, "deploy it with env={'CHECKED_KEY': ...}"),
        (_NeedsPrivateModule, "brings 'private_helpers'. If it is a module of your own"),
        (_LeavesPartsRunning, "ValueError: half done"),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_what_fails_to_load_is_told_before_anything_is_started(
    cluster: ClipperConnection, monkeypatch: pytest.MonkeyPatch, model: Any, told: str
) -> None:
    # Nobody but this process has it.
    monkeypatch.setenv("CHECKED_KEY", "secret")

    began_s = time.monotonic()
    assert told in _refused(cluster, model)
    assert time.monotonic() - began_s < _TOLD_WITHIN_S


def test_where_a_model_dies_is_told(cluster: ClipperConnection) -> None:
    assert "in __init__" in _refused(cluster, _Dies)


def test_of_what_a_model_prints_the_end_is_told(cluster: ClipperConnection) -> None:
    told = _refused(cluster, _PrintsMuch)

    assert "ValueError: after much ado" in told
    assert "line 199999" in told
    assert len(told) < 20_000


def test_a_model_that_hangs_is_ended_and_told_with_its_stack(
    cluster: ClipperConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hangs(_Exits):
        def __init__(self) -> None:
            self.wait_for_ever()

        def wait_for_ever(self) -> None:
            threading.Event().wait()

    monkeypatch.setenv("CLIPPER_CHECK_TIMEOUT_S", str(_CHECK_S))
    told = _refused(cluster, Hangs)

    assert (
        f"had not ended after {_CHECK_S} s (CLIPPER_CHECK_TIMEOUT_S sets how long a check may take) while it was loaded"
        in told
    )
    assert "in wait_for_ever" in told


@pytest.mark.parametrize(
    ("returns", "told"),
    [
        (lambda inputs: [], "for 1 input came 0 outputs"),
        (lambda inputs: [1j], "complex"),
        (lambda inputs: sys.exit(3), "SystemExit: 3"),
        (lambda inputs: importlib.import_module("private_helpers"), "If it is a module of your own"),
        (lambda inputs: open("absent.csv"), "files=['absent.csv']"),  # noqa: SIM115
        (lambda inputs: ctypes.string_at(0), "was killed by SIGSEGV when it was given the sample input"),
    ],
    ids=["too few outputs", "no text", "exit", "module", "file", "signal"],
)
def test_what_fails_on_the_sample_input_is_told_too(
    cluster: ClipperConnection, returns: Callable[[Any], Any], told: str
) -> None:
    assert told in _refused(cluster, returns, sample_input=[1.5])


@pytest.mark.parametrize(
    ("input_type", "sample", "seen"),
    [
        ("bytes", b"abc", "int8 [97 98 99]"),
        ("bytes", base64.b64encode(b"abc").decode(), "int8 [97 98 99]"),
        ("ints", [1, 2], "int32 [1 2]"),
        ("floats", [1.5, 2], "float32 [1.5 2. ]"),
        ("doubles", [1.5, 2], "float64 [1.5 2. ]"),
        ("strings", "ä", "str ä"),
    ],
)
def test_a_sample_input_reaches_the_model_as_one_of_a_client_does(
    cluster: ClipperConnection, input_type: str, sample: Any, seen: str
) -> None:
    def describe(inputs: Any) -> None:
        (each,) = inputs
        raise ValueError(f"{getattr(each, 'dtype', 'str')} {each}")

    assert f"ValueError: {seen}" in _refused(cluster, describe, input_type, sample_input=sample)


def test_a_sample_input_of_another_type_is_refused_at_once(cluster: ClipperConnection) -> None:
    assert "one of the type 'ints': a list of such numbers, without 1.5" in _refused(
        cluster, lambda inputs: inputs, "ints", sample_input=[1.5]
    )


def test_files_and_variables_are_where_they_were_also_for_replicas_that_come_later(
    cluster: ClipperConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "weights.txt").write_text("3")
    (tmp_path / "offset.txt").write_text("4")

    class Reads:
        def __init__(self) -> None:
            self.numbers = [float(Path(name).read_text()) for name in ("offset.txt", "data/weights.txt")]

        def predict(self, inputs: Any) -> list[str]:
            return [f"{os.environ['UNIT']} {sum(self.numbers) + row[0]} {os.getpid()}" for row in inputs]

    python_deployer.create_endpoint(
        cluster,
        "reads",
        "doubles",
        Reads,
        slo_micros=_SLO_MICROS,
        files=["data", Path("offset.txt")],
        env={"UNIT": "two words, $HOME and \"'\nothers"},
        sample_input=[1.0],
    )
    cluster.set_num_replicas("reads", 2)
    url = f"http://{cluster.get_query_addr()}/reads/predict"
    answers = [requests.post(url, json={"input": [number]}, timeout=20).json()["output"] for number in range(40)]

    told = {answer.rpartition(" ")[0] for answer in answers}
    assert told == {f"two words, $HOME and \"'\nothers {7.0 + number}" for number in range(40)}
    assert len({answer.rpartition(" ")[2] for answer in answers}) == 2


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ("offset.txt", r"files must be a list of paths; one of them is files=\['offset.txt'\]"),
        (["absent.txt"], "There is no 'absent.txt'"),
        (["../offset.txt"], "leads out of the working directory"),
        (["{here}/offset.txt"], r"is absolute.*files=\['offset.txt'\], open\('offset.txt'\)"),
        (["/etc/hostname"], "is absolute, and such a path leads elsewhere in a container"),
        (["func.pkl"], "has a 'func.pkl' of its own"),
        (["."], "has a 'func.pkl' of its own"),
    ],
)
def test_files_that_cannot_travel_are_refused(
    cluster: ClipperConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: Any, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "offset.txt").write_text("4")
    (tmp_path / "func.pkl").write_text("mine")
    named = [each.format(here=tmp_path) for each in files] if isinstance(files, list) else files
    with pytest.raises(ClipperException, match=told):
        _deploy(cluster, len, files=named)


@pytest.mark.parametrize(
    ("env", "told"),
    [
        ({"CLIPPER_MODEL_NAME": "x"}, "CLIPPER_MODEL_NAME in env belongs to the container"),
        ({"PYTHONPATH": "x"}, "PYTHONPATH in env belongs to the container"),
        ({"A=B": "x"}, "'A=B' in env cannot name an environment variable"),
        ({"A": 1}, "The value of A in env must be a str without NUL, not 1"),
    ],
)
def test_variables_that_a_model_cannot_have_are_refused(cluster: ClipperConnection, env: Any, told: str) -> None:
    with pytest.raises(ClipperException, match=told):
        _deploy(cluster, len, env=env)


@pytest.mark.parametrize(
    ("options", "installed"),
    [({}, f"cloudpickle=={version('cloudpickle')}"), ({"pin_packages": False}, "cloudpickle")],
    ids=["pinned", "not pinned"],
)
def test_packages_are_installed_in_the_version_of_the_deployer(
    cluster: ClipperConnection, caplog: pytest.LogCaptureFixture, options: dict[str, Any], installed: str
) -> None:
    caplog.set_level(logging.INFO, "clipper_admin")

    def predict(inputs: Any) -> list[str]:
        raise ValueError("it is checked, and that is enough")

    told = _refused(cluster, predict, pkgs_to_install=["cloudpickle"], sample_input=[1.0], **options)

    assert "that is enough" in told
    assert f"Installing {installed} into " in caplog.text


def test_a_check_ends_with_whoever_asked_for_it(cluster: ClipperConnection, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    deployer = subprocess.Popen([sys.executable, "-c", _KILLED_WHILE_CHECKING, str(pid_file)])
    wait_until(lambda: pid_file.exists() and pid_file.read_text().endswith(" "))
    checking = ProcessIdentity.of(int(pid_file.read_text()))
    assert checking is not None

    deployer.kill()
    deployer.wait()

    assert checking.wait_until_gone(_TOLD_WITHIN_S)


def test_what_a_model_starts_ends_with_its_check(cluster: ClipperConnection, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"

    def start(inputs: Any) -> list[str]:
        pid_file.write_text(str(subprocess.Popen(["sleep", "600"]).pid))
        raise ValueError("it has started something")

    assert "it has started something" in _refused(cluster, start, sample_input=[1.0])
    started = ProcessIdentity.of(int(pid_file.read_text()))
    assert started is None or started.wait_until_gone(_TOLD_WITHIN_S)
