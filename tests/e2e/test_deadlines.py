"""Every query is answered by its deadline: with a prediction, or with the default output and the reason."""

import http.client
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import requests
from clipper.v1 import query_service_pb2

from clipper_admin import ClipperConnection
from clipper_admin.deployers import python as python_deployer
from tests.fixtures.bursts import rest_burst
from tests.fixtures.clients import PATIENCE_S, Answer, Client, NativeClient, RestClient, doubles, from_prediction
from tests.fixtures.stalls import StallMeter

pytestmark = pytest.mark.alone

DEFAULT = "too late"
EXPLANATION = "Failed to retrieve a prediction response within the specified latency SLO"
LIGHT_LOAD_OVERDUE_S = 0.010
OVERDUE_S = 0.020


def slow(seconds_per_input: float) -> Callable[[Sequence[Any]], list[str]]:
    """A model that computes for so long, and tells which inputs it has ever been given."""
    seen: list[float] = []

    def predict(inputs: Sequence[Any]) -> list[str]:
        seen.extend(float(row[0]) for row in inputs)
        time.sleep(seconds_per_input * len(inputs))
        return [json.dumps(seen)] * len(inputs)

    return predict


def endpoint(cluster: ClipperConnection, name: str, slo_s: float, seconds_per_input: float) -> None:
    python_deployer.create_endpoint(
        cluster,
        name,
        "doubles",
        slow(seconds_per_input),
        default_output=DEFAULT,
        slo_micros=round(slo_s * 1e6),
        check=False,
    )


@pytest.mark.parametrize("client_of", [RestClient, NativeClient], ids=["rest", "grpc"])
def test_a_late_prediction_gives_way_to_the_default_at_the_objective(
    cluster: ClipperConnection, client_of: Callable[[str, str], Client], request: pytest.FixtureRequest
) -> None:
    slo_s, name = 0.1, f"late-{request.node.callspec.id}"
    endpoint(cluster, name, slo_s, seconds_per_input=3 * slo_s)
    client = client_of(cluster.get_query_addr(), name)

    with StallMeter(cluster) as meter:
        answers = [client.ask([number]) for number in range(20)]

    client.close()
    assert {(answer.output, answer.is_default, answer.error) for answer in answers} == {(DEFAULT, True, "")}
    assert all(answer.explanation.startswith(EXPLANATION) for answer in answers)
    # Once the model is known to be too slow, whoever finds it busy need not wait to hear it.
    waited_s = [answer.latency_s for answer in answers if not answer.explanation.endswith("given up early")]
    assert min(waited_s) >= slo_s - LIGHT_LOAD_OVERDUE_S
    assert statistics.median(waited_s) <= slo_s + LIGHT_LOAD_OVERDUE_S
    assert meter.late(answers, slo_s + LIGHT_LOAD_OVERDUE_S) == []


def test_a_timeout_of_grpc_is_the_deadline_of_a_rest_request(cluster: ClipperConnection) -> None:
    endpoint(cluster, "unhurried", slo_s=20.0, seconds_per_input=0.4)

    def ask(number: float, timeout: str) -> requests.Response:
        url = f"http://{cluster.get_query_addr()}/unhurried/predict"
        return requests.post(url, json={"input": [number]}, headers={"grpc-timeout": timeout}, timeout=PATIENCE_S)

    assert ask(1.0, "20S").json()["default"] is False
    assert ask(2.0, "99999999H").json()["default"] is False
    late = ask(3.0, "100m")
    # The query service and Envoy keep the same deadline, and either may be the first to answer.
    assert late.status_code == http.client.GATEWAY_TIMEOUT or late.json()["default"] is True
    assert late.elapsed.total_seconds() < 0.4


def test_a_clients_deadline_counts_when_it_is_earlier_and_what_nobody_waits_for_is_not_computed(
    cluster: ClipperConnection,
) -> None:
    endpoint(cluster, "impatient", slo_s=5.0, seconds_per_input=0.4)
    patience_s, occupying, abandoned = 0.1, 1, range(100, 120)

    with NativeClient(cluster.get_query_addr(), "impatient") as client, StallMeter(cluster) as meter:
        occupied = client.stub.Predict.future(doubles("impatient", [[occupying]]), timeout=5)
        answers = [client.ask([number], timeout_s=patience_s) for number in abandoned]
        computed = json.loads(occupied.result().predictions[0].output)
        last = client.ask([200])

    assert occupying in computed
    for answer in answers:
        assert answer.error.startswith("DEADLINE_EXCEEDED") or answer.explanation.startswith(EXPLANATION)
    assert meter.late(answers, patience_s + LIGHT_LOAD_OVERDUE_S) == []
    # Each query service may have had one of them on its way to the model, and one being computed, when its time came.
    assert len(set(last.output) & set(abandoned)) <= len(abandoned) // 2


def test_a_burst_beyond_capacity_over_rest_is_answered_in_time(cluster: ClipperConnection) -> None:
    slo_s = 0.2
    endpoint(cluster, "burst", slo_s, seconds_per_input=0.02)
    address = cluster.get_query_addr()

    with StallMeter(cluster) as meter:
        bursts = [rest_burst(address, "burst", [[burst, number] for number in range(40)]) for burst in range(4)]

    answers = [answer for burst in bursts for answer in burst]
    assert_answered_or_explained(answers)
    assert meter.late(answers, slo_s + OVERDUE_S) == []


def test_a_burst_beyond_capacity_over_one_stream_is_answered_in_time(cluster: ClipperConnection) -> None:
    slo_s, count = 0.2, 200
    endpoint(cluster, "pipelined", slo_s, seconds_per_input=0.005)
    sent_s: list[float] = []

    def requests_of_the_burst() -> Iterator[query_service_pb2.PredictStreamRequest]:
        for number in range(count):
            message = query_service_pb2.PredictStreamRequest(
                request_id=number, request=doubles("pipelined", [[number]])
            )
            sent_s.append(time.monotonic())
            yield message

    answers = []
    with NativeClient(cluster.get_query_addr(), "pipelined") as client, StallMeter(cluster) as meter:
        for response in client.stub.PredictStream(requests_of_the_burst(), timeout=10):
            [prediction] = response.response.predictions
            answers.append(from_prediction(sent_s[response.request_id], time.monotonic(), prediction))

    assert len(answers) == count
    assert_answered_or_explained(answers)
    assert meter.late(answers, slo_s + OVERDUE_S) == []


def assert_answered_or_explained(answers: Sequence[Answer]) -> None:
    assert not any(answer.error for answer in answers)
    defaults = [answer for answer in answers if answer.is_default]
    assert 0 < len(defaults) < len(answers)
    assert all(answer.output == DEFAULT and answer.explanation.startswith(EXPLANATION) for answer in defaults)


def test_one_request_for_more_than_the_model_can_do_gets_what_was_done_in_time(cluster: ClipperConnection) -> None:
    slo_s = 0.3
    endpoint(cluster, "partly", slo_s, seconds_per_input=0.005)
    batch = [[number] for number in range(200)]

    with StallMeter(cluster) as meter:
        sent_s = time.monotonic()
        response = requests.post(
            f"http://{cluster.get_query_addr()}/partly/predict", json={"input_batch": batch}, timeout=10
        )
        answer = Answer(sent_s, time.monotonic())

    predictions = response.json()["batch_predictions"]
    assert len(predictions) == len(batch)
    in_time = [number for number, prediction in enumerate(predictions) if not prediction["default"]]
    assert 0 < len(in_time) < len(batch)
    assert all(number in predictions[number]["output"] for number in in_time)
    assert meter.late([answer], slo_s + OVERDUE_S) == []
