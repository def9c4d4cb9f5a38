"""The documented first steps, call for call, with only the container manager exchanged."""

import base64
import json
import re
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import requests

from clipper_admin import ClipperConnection, ProcessContainerManager
from clipper_admin.deployers import python as python_deployer
from tests.fixtures.clients import RestClient
from tests.fixtures.functions import feature_sum

_CONNECTION = """
from clipper_admin import ClipperConnection, ProcessContainerManager

clipper_conn = ClipperConnection(ProcessContainerManager(query_port=0, management_port=0, metrics_port=0))
"""
_MODEL = """
clipper_conn.start_clipper()
clipper_conn.register_application(name="hello-world", input_type="doubles", default_output="-1.0", slo_micros=5000000)
print(clipper_conn.get_all_apps())

def feature_sum(xs):
    return [str(sum(x)) for x in xs]

from clipper_admin.deployers import python as python_deployer
python_deployer.deploy_python_closure(
    clipper_conn, name="sum-model", version=1, input_type="doubles", func=feature_sum)
clipper_conn.link_model_to_app(app_name="hello-world", model_name="sum-model")
"""
_CLEAN = """
clipper_conn.connect()
clipper_conn.stop_all()
"""
_LOG_LINE = re.compile(r"\d\d-\d\d-\d\d:\d\d:\d\d:\d\d INFO     \[\w+\.py:\d+\] (.*)")


@dataclass(frozen=True, slots=True)
class Session:
    """What a run of the first steps left: a cluster, and what it wrote."""

    connection: ClipperConnection
    printed: str
    log: str


def in_an_interpreter_of_its_own(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", _CONNECTION + program], capture_output=True, text=True, check=True)


def messages(log: str) -> list[str]:
    """The messages of a log whose lines all have the documented form."""
    lines = [_LOG_LINE.fullmatch(line) for line in log.splitlines()]
    assert all(lines), log
    return [line.group(1) for line in lines if line]


@pytest.fixture(scope="module")
def session(clipper_home: object) -> Iterator[Session]:
    connection = ClipperConnection(ProcessContainerManager())
    try:
        run = in_an_interpreter_of_its_own(_MODEL)
        connection.connect()
        yield Session(connection, run.stdout, run.stderr)
    finally:
        connection.stop_all(graceful=False)


def post(session: Session, path: str, body: str, content_type: str = "application/json") -> requests.Response:
    url = f"http://{session.connection.get_query_addr()}{path}"
    return requests.post(url, headers={"Content-Type": content_type}, data=body, timeout=10)


def test_the_applications_are_listed(session: Session) -> None:
    assert session.printed == "['hello-world']\n"


def test_the_log_says_what_it_has_always_said(session: Session) -> None:
    temporary = re.escape(tempfile.gettempdir())
    expected = [
        r"\[default-cluster\] Clipper is running",
        r"\[default-cluster\] Application hello-world was successfully registered",
        rf"Saving function to {temporary}/.*clipper",
        r"Serialized and supplied predict function",
        r"Python closure saved",
        rf"\[default-cluster\] Building model image with model data from {temporary}/.*clipper",
        r"\[default-cluster\] Found 0 replicas for sum-model:1\. Adding 1",
        r"\[default-cluster\] Successfully registered model sum-model:1",
        r"\[default-cluster\] Done deploying model sum-model:1\.",
        r"\[default-cluster\] Model sum-model is now linked to application hello-world",
    ]
    said = iter(messages(session.log))

    for pattern in expected:
        assert any(re.fullmatch(pattern, message) for message in said), f"{pattern} is missing in\n{session.log}"


@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded"])
def test_curl_gets_the_documented_answer_byte_for_byte(session: Session, content_type: str) -> None:
    answer = post(session, "/hello-world/predict", '{"input": [1.1, 2.2, 3.3]}', content_type)

    assert re.fullmatch(rb'{"query_id":\d+,"output":6\.6,"default":false}', answer.content)
    assert answer.headers["content-type"] == "application/json"


def test_a_python_interpreter_gets_the_sum_of_ten_random_numbers(session: Session) -> None:
    numbers = list(np.random.default_rng(0).random(10))

    answer = post(session, "/hello-world/predict", json.dumps({"input": numbers})).json()

    assert answer == {"default": False, "output": pytest.approx(sum(numbers)), "query_id": answer["query_id"]}


def test_the_example_client_asks_an_endpoint_one_by_one_and_in_batches(session: Session) -> None:
    python_deployer.create_endpoint(session.connection, "simple-example", "doubles", feature_sum)
    batch = np.random.default_rng(1).random((3, 200))

    single = post(session, "/simple-example/predict", json.dumps({"input": list(batch[0])}))
    several = post(session, "/simple-example/predict", json.dumps({"input_batch": batch.tolist()}))

    assert single.json()["output"] == pytest.approx(batch[0].sum())
    outputs = [prediction["output"] for prediction in several.json()["batch_predictions"]]
    assert outputs == pytest.approx(batch.sum(axis=1))
    assert set(single.json()) == {"query_id", "output", "default"}


def test_integers_are_scored_and_a_float_comes_back_as_it_was_printed(session: Session) -> None:
    session.connection.register_application("xgboost-test", "integers", "default_pred", 5_000_000)

    def predict(xs: Any) -> Any:
        assert xs.dtype == "int32"
        return np.full(len(xs), 0.3266071, np.float32)

    python_deployer.deploy_python_closure(
        session.connection, name="xgboost-model", version=1, input_type="integers", func=predict
    )
    session.connection.link_model_to_app("xgboost-test", "xgboost-model")
    test_point = np.random.default_rng(2).integers(255, size=784).tolist()

    answer = post(session, "/xgboost-test/predict", json.dumps({"input": test_point}))

    assert re.fullmatch(rb'{"query_id":\d+,"output":0\.3266071,"default":false}', answer.content)


def png(width: int, height: int) -> bytes:
    """As much of an image as its size takes."""
    return b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + struct.pack(">II", width, height) + bytes(range(256))


def test_images_are_asked_for_as_base64(session: Session) -> None:
    def image_size(images: Sequence[Any]) -> list[str]:
        return [str(list(struct.unpack(">II", image.tobytes()[16:24]))) for image in images]

    python_deployer.create_endpoint(session.connection, name="image-example", input_type="bytes", func=image_size)
    encoded = [base64.b64encode(image).decode() for image in (png(640, 480), png(1920, 1080) + b"\xff")]

    single = post(session, "/image-example/predict", json.dumps({"input": encoded[0]}))
    several = post(session, "/image-example/predict", json.dumps({"input_batch": encoded}))

    assert re.fullmatch(rb'{"query_id":\d+,"output":\[640, 480\],"default":false}', single.content)
    assert [each["output"] for each in several.json()["batch_predictions"]] == [[640, 480], [1920, 1080]]


def test_an_application_without_a_model_answers_its_default_and_says_why(session: Session) -> None:
    session.connection.register_application("lonely", "doubles", "-1.0", 100000)

    with RestClient(session.connection.get_query_addr(), "lonely") as client:
        answer = client.ask([1.0])

    assert (answer.output, answer.is_default) == (-1.0, True)
    assert answer.explanation == "No connected models found for query"


def test_a_function_can_be_tried_before_it_is_deployed(session: Session) -> None:
    query = {"input_batch": [[1.1, 2.2, 3.3], [1, 2]]}

    assert session.connection.test_predict_function(query, feature_sum, "doubles") == ["6.6", "3.0"]
    assert session.connection.test_predict_function(query, feature_sum, "tensors") == "Invalid input type or JSON key"


def test_the_metrics_tell_what_was_asked_and_answered(session: Session) -> None:
    post(session, "/hello-world/predict", '{"input": [5.5]}')

    metrics = session.connection.inspect_instance()

    named = {name: value for group in metrics.values() for metric in group for name, value in metric.items()}
    assert named["app:hello-world:num_predictions"]["count"] >= 1
    assert named["model:sum-model:1:num_predictions"]["count"] >= 1
    assert named["app:hello-world:prediction_latency"]["unit"] == "microseconds"
    assert named["app:hello-world:default_prediction_ratio"]["ratio"] == 0


def test_all_models_can_be_stopped_and_the_applications_stay(session: Session) -> None:
    session.connection.stop_all_model_containers()

    assert session.connection.get_all_models() == []
    assert session.connection.get_all_model_replicas() == []
    assert "hello-world" in session.connection.get_all_apps()
    assert post(session, "/hello-world/predict", '{"input": [6.5]}').json()["output"] == -1.0


def test_a_new_interpreter_finds_the_cluster_and_stops_it(session: Session) -> None:
    address = session.connection.get_query_addr()

    run = in_an_interpreter_of_its_own(_CLEAN)

    assert messages(run.stderr)[-1] == "[default-cluster] Stopped all Clipper cluster and all model containers"
    with pytest.raises(requests.ConnectionError):
        requests.get(f"http://{address}/metrics", timeout=5)
