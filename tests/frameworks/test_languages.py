"""Containers in C++, Java and Node, which their user starts, and which the cluster knows by their lease alone."""

import itertools
import json
import math
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
import requests
from clipper.v1 import query_service_pb2, query_service_pb2_grpc
from sklearn.datasets import load_diabetes, load_iris

from clipper_admin import ClipperConnection
from clipper_admin.cluster.readiness import leased
from tests.fixtures.languages import CPP, JAVA, NODE, Language, Replica
from tests.fixtures.lease_keepers import LeaseKeeper
from tests.fixtures.model_containers import packed
from tests.fixtures.pasting import Block, Terminal, interpreter, shell
from tests.fixtures.processes import processes, send, wait_for_another
from tests.fixtures.waiting import wait_until

# The first test of a language compiles it, and may have to install a compiler.
pytestmark = pytest.mark.timeout(900)

_REPOSITORY = Path(__file__).parents[2]
_QUERY_ID = re.compile(r'"query_id":\d+')
_SLO_MICROS = 5_000_000
_TIMEOUT_S = 30.0
_TEXTS = [
    "The invoice for my last payment is wrong, please refund the fee",
    "where is my parcel, the tracking number says it was shipped",
    "I cannot log in: the password is unknown",
    "Was my card charged twice?",
    "The courier left the box at another address, it is damaged",
    "Please delete my user name and the email address",
    "naïve Ünïcode, and a payment",
]


@dataclass(frozen=True, slots=True)
class Served:
    """A language's model, behind an application of the language's name.

    Attributes:
        language: the language.
        model: the model's directory.
        trained: the model, as it was trained.
        cluster: where it is registered.
        log: where its replicas write to.
    """

    language: Language
    model: Path
    trained: Any
    cluster: ClipperConnection
    log: Path

    def replica(self) -> Replica:
        """Another container."""
        name = f"{self.language.name}-{next(_numbers)}.log"
        return Replica(
            self.language,
            self.model,
            self.log / name,
            model_name=self.language.name,
            management_address=self.cluster.cm.get_admin_addr(),
        )

    def wait_for(self, *replicas: Replica) -> None:
        """Waits until these are known, and one answers."""
        addresses = {replica.address() for replica in replicas}
        wait_until(lambda: addresses <= self.known_addresses())
        self.wait_until_predicted()

    def known_addresses(self) -> set[str]:
        """Where replicas serve that hold a lease."""
        return leased(self.cluster.cm.get_admin_addr(), since_s=-math.inf)

    def wait_until_predicted(self) -> None:
        """Waits until a replica answers."""
        wait_until(lambda: not self.answers([_sample(self.language)])[0]["default"])

    def answers(self, inputs: Sequence[Any]) -> list[dict[str, Any]]:
        """What REST answers."""
        url = f"http://{self.cluster.get_query_addr()}/{self.language.name}/predict"
        response = requests.post(url, json={"input_batch": inputs}, timeout=_TIMEOUT_S)
        assert response.status_code == requests.codes.ok, response.text
        predictions: list[dict[str, Any]] = response.json()["batch_predictions"]
        return predictions

    def native_outputs(self, inputs: Sequence[Any]) -> list[Any]:
        """The outputs that gRPC answers, none of them a default."""
        request = query_service_pb2.PredictRequest(
            application=self.language.name, inputs=packed(self.language.input_type, inputs)
        )
        with grpc.insecure_channel(self.cluster.get_query_addr(), (("grpc.enable_http_proxy", 0),)) as channel:
            response = query_service_pb2_grpc.QueryServiceStub(channel).Predict(request, timeout=_TIMEOUT_S)
        assert [each.default_explanation for each in response.predictions if each.is_default] == []
        return [each.output if self.language is JAVA else json.loads(each.output) for each in response.predictions]


_numbers = itertools.count()


@pytest.fixture(scope="module", params=[CPP, JAVA, NODE], ids=["c++", "java", "node"])
def served(
    request: pytest.FixtureRequest, cluster: ClipperConnection, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """A model that is registered, and has no replica yet."""
    language: Language = request.param.made()
    directory = tmp_path_factory.mktemp(language.name)
    trained = language.trained(directory / "model")
    # What is asked again is to be answered by a container, too.
    cluster.register_application(language.name, language.input_type, "null", _SLO_MICROS, use_cache=False)
    cluster.register_model(language.name, 1, language.input_type)
    cluster.link_model_to_app(language.name, language.name)
    yield Served(language, directory / "model", trained, cluster, directory)
    cluster.unregister_application(language.name)
    cluster.stop_models([language.name])


def _sample(language: Language) -> Any:
    return _held_out(language)[0]


def _held_out(language: Language) -> list[Any]:
    """What the model has not learned from."""
    if language is CPP:
        return list(load_diabetes(return_X_y=True)[0][300:].tolist())
    return list(load_iris(return_X_y=True)[0][1::2].tolist()) if language is JAVA else _TEXTS


def _unusable(language: Language) -> tuple[Any, str]:
    """An input that the model cannot take, and what is told of it."""
    return ("?", "no word") if language is NODE else ([1.5], "not 1")


def _assert_predicted(served: Served, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
    """Whether these are the outputs of the model where it was trained."""
    expected = served.trained.predict(inputs).tolist()
    if served.language is CPP:
        assert outputs == pytest.approx(expected, rel=1e-12)
    elif served.language is JAVA:
        assert outputs == expected
    else:
        assert [output["topic"] for output in outputs] == expected
        probabilities = served.trained.predict_proba(inputs).max(axis=1)
        assert [output["probability"] for output in outputs] == pytest.approx(probabilities, rel=1e-9)


def test_all_answers_are_those_of_the_model_where_it_was_trained(served: Served) -> None:
    inputs = _held_out(served.language)
    with served.replica() as replica:
        served.wait_for(replica)
        _assert_predicted(served, inputs, [answer["output"] for answer in served.answers(inputs)])
        _assert_predicted(served, inputs, served.native_outputs(inputs))


def test_an_input_that_the_model_cannot_take_fails_alone_with_the_reason(served: Served) -> None:
    inputs = _held_out(served.language)[:3]
    ragged, reason = _unusable(served.language)
    empty = "" if served.language is NODE else []
    with served.replica() as replica:
        served.wait_for(replica)
        answers = served.answers([inputs[0], ragged, inputs[1], empty, inputs[2]])
    assert [answer["default"] for answer in answers] == [False, True, False, True, False]
    assert reason in answers[1]["default_explanation"]
    _assert_predicted(served, inputs, [answer["output"] for answer in answers if not answer["default"]])


def test_a_container_that_is_killed_is_missed_at_once_and_another_takes_its_place(served: Served) -> None:
    with served.replica() as victim:
        served.wait_for(victim)
        victim.process.kill()
        wait_until(lambda: served.answers([_sample(served.language)])[0]["default"])
    with served.replica():
        served.wait_until_predicted()


@contextmanager
def _load(served: Served) -> Iterator[list[dict[str, Any]]]:
    """The answers to four clients that ask all the time."""
    answers: list[dict[str, Any]] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            answers.extend(served.answers(_held_out(served.language)[:3]))

    with ThreadPoolExecutor(4, "client") as clients:
        asking = [clients.submit(ask) for _ in range(4)]
        try:
            yield answers
        finally:
            over.set()
        for each in asking:
            each.result()


def test_a_container_that_is_told_to_end_costs_no_query(served: Served) -> None:
    with ExitStack() as stack:
        leaving, staying = (stack.enter_context(served.replica()) for _ in range(2))
        served.wait_for(leaving, staying)
        address = leaving.address()
        with _load(served) as answers:
            wait_until(lambda: len(answers) > 100)
            assert leaving.terminate() == 0
            assert address not in served.known_addresses()
            many = len(answers)
            wait_until(lambda: len(answers) > many + 100)
    assert [answer for answer in answers if answer["default"]] == []


def test_a_lease_is_renewed_opened_again_by_its_id_and_released(served: Served) -> None:
    keeper = LeaseKeeper(time_to_live_s=0.6)
    log = served.log / "leased.log"
    try:
        with Replica(served.language, served.model, log, management_address=keeper.address) as replica:
            opened = keeper.opened.get(timeout=_TIMEOUT_S)
            assert (opened.model_name, opened.model_version, opened.address) == ("m", "1", replica.address())
            assert not opened.HasField("model_replica_id")
            times_s = [keeper.renewed.get(timeout=_TIMEOUT_S) for _ in range(4)]
            assert 0.15 < (times_s[-1] - times_s[0]) / 3 < 0.6
            keeper.go()
            keeper.come(keeper.address)
            assert keeper.opened.get(timeout=_TIMEOUT_S).model_replica_id == 7
            keeper.renewed.get(timeout=_TIMEOUT_S)
            assert replica.terminate() == 0
            keeper.released.get_nowait()
    finally:
        keeper.go()


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"model_name": ""}, "CLIPPER_MODEL_NAME must be set"),
        ({"input_type": "integers"}, "CLIPPER_INPUT_TYPE must be"),
        ({"model_path": "/nonexistent"}, "/nonexistent"),
    ],
    ids=["no name", "another input type", "no model"],
)
def test_a_container_that_cannot_serve_ends_and_says_why(served: Served, variables: dict[str, str], told: str) -> None:
    with Replica(served.language, served.model, served.log / "refused.log", **variables) as replica:
        assert replica.process.wait(_TIMEOUT_S) == 2
        assert told in replica.log()


def test_a_container_without_streams_ends_at_once(served: Served) -> None:
    with Replica(served.language, served.model, served.log / "alone.log", drain_grace_s="60") as replica:
        replica.address()
        assert replica.terminate() == 0


def test_the_conformance_kit_finds_nothing_to_complain_of(served: Served, tmp_path: Path) -> None:
    inputs = _held_out(served.language)[:4]
    with served.replica() as replica:
        served.wait_for(replica)
        outputs = [answer["output"] for answer in served.answers(inputs)]
    expected = [{"input": each, "output": output} for each, output in zip(inputs, outputs, strict=True)]
    unusable, reason = _unusable(served.language)
    lines = (json.dumps(each) for each in (*expected, {"input": unusable, "error": reason}))
    (tmp_path / "expected").write_text("\n".join(lines))
    program = str(served.language.directory / served.language.run[0])
    command = (
        *(sys.executable, "-m", "clipper_admin", "check-container", "127.0.0.1:0", "--start", program),
        *("--input-type", served.language.input_type, "--expect", str(tmp_path / "expected"), "--patience", "60"),
    )
    environment = {**os.environ, "CLIPPER_MODEL_PATH": str(served.model)}
    checked = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout
    assert "0 broken, 0 not looked at" in checked.stdout


def test_a_cluster_keeps_what_is_deployed_as_a_directory(served: Served, tmp_path: Path) -> None:
    language, cluster = served.language, served.cluster
    program = str(language.directory / language.run[0])
    (tmp_path / "image.json").write_text(json.dumps({"command": [program]}))
    shutil.copytree(served.model, tmp_path / "model")
    cluster.deploy_model(language.name, 2, language.input_type, str(tmp_path))
    try:
        [name] = [name for name in processes(cluster) if name.startswith(f"{language.name}_2-")]
        pid, _ = send(cluster, name)
        wait_for_another(cluster, name, pid)
        served.wait_until_predicted()
        cluster.set_num_replicas(language.name, 2)
        assert cluster.get_num_replicas(language.name) == 2
        inputs = _held_out(language)
        _assert_predicted(served, inputs, [answer["output"] for answer in served.answers(inputs)])
    finally:
        cluster.stop_versioned_models({language.name: [2]})
        cluster.set_model_version(language.name, 1)


def test_its_readme_takes_a_stranger_from_a_clone_to_a_prediction(served: Served, tmp_path: Path) -> None:
    for name in (".venv", "examples", "protos"):
        (tmp_path / name).symlink_to(_REPOSITORY / name)
    blocks = Block.all_of((served.language.directory / "README.md").read_text())
    applications = set(served.cluster.get_all_apps())
    with (
        shell(tmp_path, os.environ, tmp_path / "shell") as opened,
        interpreter(sys.executable, tmp_path, os.environ, tmp_path / "interpreter") as python,
    ):
        for block in blocks:
            if block.language == "python":
                assert "Traceback" not in python.paste(block.text)[1]
            for command, shown in block.commands if block.language != "python" else ():
                if not command.startswith("apt-get"):
                    _paste(opened, command.replace("127.0.0.1:1337", served.cluster.get_query_addr()), shown)
    for application in set(served.cluster.get_all_apps()) - applications:
        served.cluster.unregister_application(application)
        served.cluster.stop_models([application])


def _paste(opened: Terminal, command: str, shown: str) -> None:
    written, errors = opened.paste(command, within_s=300)
    printed, _, code = written.rpartition("\n")
    assert code == "0", f"{command}\n{printed}\n{errors}"
    assert not shown or _QUERY_ID.sub("", printed.strip()) == _QUERY_ID.sub("", shown)
