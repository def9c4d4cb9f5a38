"""What a client may ask for besides the prediction, through the edge: where the time went, and no default outputs."""

import time
from collections.abc import Sequence
from typing import Any

import grpc
import pytest
import requests
from google.rpc import error_details_pb2, status_pb2

from clipper_admin import ClipperConnection
from clipper_admin.deployers import python as python_deployer
from tests.fixtures.clients import PATIENCE_S, NativeClient, doubles

SLO_MICROS = 250_000
MODEL_MICROS = 20_000
ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"
RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"


def slow_sum(inputs: Sequence[Sequence[float]]) -> list[str]:
    if any(row[0] < 0 for row in inputs):
        raise ValueError("negative")
    time.sleep(0.02)
    return [str(sum(row)) for row in inputs]


@pytest.fixture(scope="module")
def applications(cluster: ClipperConnection) -> None:
    """Application "explained" with a slow model, "hurried" with the same and too little time, "unlinked" with none."""
    python_deployer.create_endpoint(cluster, "explained", "doubles", slow_sum, slo_micros=5_000_000, check=False)
    cluster.register_application("hurried", "doubles", "default", 5_000)
    cluster.link_model_to_app("hurried", "explained")
    cluster.register_application("unlinked", "doubles", "default", SLO_MICROS)


pytestmark = pytest.mark.usefixtures("applications")


def predict(cluster: ClipperConnection, application: str, **body: Any) -> requests.Response:
    return requests.post(f"http://{cluster.get_query_addr()}/{application}/predict", json=body, timeout=PATIENCE_S)


def refused(response: requests.Response, status: int, code: int, reason: str) -> list[dict[str, Any]]:
    """Checks an error's JSON; returns its details besides the ErrorInfo."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    info, *others = body["details"]
    assert (body["code"], info) == (code, {"@type": ERROR_INFO, "reason": reason, "domain": "clipper", "metadata": {}})
    return list(others)


def test_rest_tells_where_the_time_went_when_asked(cluster: ClipperConnection) -> None:
    started_s = time.perf_counter()
    explained = predict(cluster, "explained", input=[1.0, 2.0], explain=True).json()
    taken_s = time.perf_counter() - started_s

    assert (explained["output"], explained["default"]) == (3.0, False)
    timing = explained["timing"]
    assert list(timing) == ["cached", "queue_micros", "batch_size", "model_micros", "network_micros"]
    assert (timing["cached"], timing["batch_size"]) == (False, 1)
    assert timing["model_micros"] >= MODEL_MICROS
    assert timing["queue_micros"] + timing["model_micros"] + timing["network_micros"] <= taken_s * 1e6
    assert "timing" not in predict(cluster, "explained", input=[1.0, 2.5]).json()


def test_native_grpc_tells_where_the_time_went_when_asked(cluster: ClipperConnection) -> None:
    question = doubles("explained", [[3.0], [4.0]])
    question.explain = True
    with NativeClient(cluster.get_query_addr(), "explained") as client:
        predictions = client.stub.Predict(question, timeout=PATIENCE_S).predictions

    assert all(each.timing.model_micros >= MODEL_MICROS for each in predictions)


def test_forbidding_defaults_costs_a_prediction_nothing(cluster: ClipperConnection) -> None:
    answer = predict(cluster, "explained", input_batch=[[5.0], [6.0]], forbid_default=True)

    assert answer.status_code == 200
    assert [each["output"] for each in answer.json()["batch_predictions"]] == [5.0, 6.0]


def test_a_forbidden_default_for_want_of_a_replica_is_429_with_when_to_try_again(cluster: ClipperConnection) -> None:
    answer = predict(cluster, "unlinked", input=[1.0], forbid_default=True)

    assert refused(answer, 429, 8, "NO_REPLICA") == [{"@type": RETRY_INFO, "retry_delay": "0.250s"}]
    assert answer.json()["message"] == "No connected models found for query"
    assert predict(cluster, "unlinked", input=[1.0]).json()["output"] == "default"


def test_a_forbidden_default_for_a_models_error_is_500_with_its_message(cluster: ClipperConnection) -> None:
    answer = predict(cluster, "explained", input_batch=[[7.0], [-7.0]], forbid_default=True)

    assert refused(answer, 500, 13, "MODEL_ERROR") == []
    assert answer.json()["message"] == "ValueError: negative"


def test_a_forbidden_default_for_lateness_is_504_or_429_when_it_was_foreseen(cluster: ClipperConnection) -> None:
    answer = predict(cluster, "hurried", input=[8.0], forbid_default=True)

    assert answer.status_code in (429, 504), answer.text
    assert answer.json()["details"][0]["reason"].startswith("DEADLINE_")


def test_a_forbidden_default_is_a_rich_error_of_native_grpc(cluster: ClipperConnection) -> None:
    question = doubles("unlinked", [[1.0]])
    question.forbid_default = True
    with NativeClient(cluster.get_query_addr(), "unlinked") as client, pytest.raises(grpc.RpcError) as error:
        client.stub.Predict(question, timeout=PATIENCE_S)

    assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    [details] = [each.value for each in error.value.trailing_metadata() if each.key == "grpc-status-details-bin"]
    retry = error_details_pb2.RetryInfo()
    assert status_pb2.Status.FromString(details).details[1].Unpack(retry)
    assert retry.retry_delay.ToMicroseconds() == SLO_MICROS
