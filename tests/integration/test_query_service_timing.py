"""Explained predictions: where the time went."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from clipper.v1 import query_service_pb2
from google.api import httpbody_pb2

from tests.fixtures import model_containers
from tests.fixtures.query_services import (
    PATIENCE_S,
    QueryServiceProcess,
    Registry,
    redis_in,
    request,
    wait_until_predicted,
)

_MODEL_S = 0.03
_MICROS = 1e6
_FIELDS = ["cached", "queue_micros", "batch_size", "model_micros", "network_micros"]


def _slow(inputs: Any) -> list[str]:
    time.sleep(_MODEL_S)
    return [str(each[0]) for each in inputs]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QueryServiceProcess]:
    """A query service with one application "app", whose model takes batches of three, and one without a model."""
    directory = tmp_path_factory.mktemp("query")
    with ExitStack() as stack:
        redis = stack.enter_context(redis_in(directory / "redis"))
        container = stack.enter_context(model_containers.serving(_slow))
        registry = Registry(redis)
        registry.add_application("app", "m")
        registry.add_application("lonely", None)
        registry.add_version("m", "1", batch_size=3)
        registry.add_replica("m", "1", 0, container.address)
        service = stack.enter_context(QueryServiceProcess(redis, directory))
        wait_until_predicted(service, request("app", [[0.0]]))
        yield service


def _explained(service: QueryServiceProcess, application: str, *numbers: float) -> list[query_service_pb2.Prediction]:
    question = request(application, [[number] for number in numbers])
    question.explain = True
    return list(service.stub().Predict(question, timeout=PATIENCE_S).predictions)


def _total_s(timing: query_service_pb2.Timing) -> float:
    return (timing.queue_micros + timing.model_micros + timing.network_micros) / _MICROS


def test_queue_model_and_network_are_told_and_make_up_the_time(service: QueryServiceProcess) -> None:
    started_s = time.perf_counter()
    (prediction,) = _explained(service, "app", 1.0)
    taken_s = time.perf_counter() - started_s
    assert not prediction.timing.cached
    assert prediction.timing.batch_size == 1
    assert prediction.timing.model_micros >= _MODEL_S * _MICROS
    assert prediction.timing.network_micros > 0
    assert _MODEL_S < _total_s(prediction.timing) <= taken_s


def test_the_size_of_the_batch_is_told_and_a_wait_for_another_batch_is_the_queues(
    service: QueryServiceProcess,
) -> None:
    predictions = _explained(service, "app", *(10.0 + number for number in range(12)))
    assert [each.timing.batch_size for each in predictions] == [3] * 12
    queued = [each.timing.queue_micros for each in predictions]
    assert queued == sorted(queued)
    # All but the first batches, of which more than one may be on its way, waited for a replica that was computing.
    assert queued[-1] >= _MODEL_S * _MICROS


def test_a_cached_prediction_says_so_and_took_no_time(service: QueryServiceProcess) -> None:
    _explained(service, "app", 2.0)
    (prediction,) = _explained(service, "app", 2.0)
    assert prediction.timing == query_service_pb2.Timing(cached=True)


def test_who_does_not_ask_is_told_nothing(service: QueryServiceProcess) -> None:
    (prediction,) = service.stub().Predict(request("app", [[3.0]]), timeout=PATIENCE_S).predictions
    assert not prediction.HasField("timing")


def test_a_default_has_no_timing(service: QueryServiceProcess) -> None:
    (prediction,) = _explained(service, "lonely", 1.0)
    assert prediction.is_default
    assert not prediction.HasField("timing")


def test_rest_has_the_same_in_its_json(service: QueryServiceProcess) -> None:
    body = httpbody_pb2.HttpBody(data=b'{"input_batch":[[4.0],[5.0]],"explain":true}')
    question = query_service_pb2.PredictJsonRequest(application="app", body=body)
    answer = json.loads(service.stub().PredictJson(question, timeout=PATIENCE_S).body.data)
    timings = [each["timing"] for each in answer["batch_predictions"]]
    assert [list(timing) for timing in timings] == [_FIELDS] * 2
    assert all(timing["cached"] is False and timing["batch_size"] == 2 for timing in timings)
    assert all(timing["model_micros"] >= _MODEL_S * _MICROS for timing in timings)


def test_a_stream_tells_it_too(service: QueryServiceProcess) -> None:
    question = request("app", [[6.0]])
    question.explain = True
    pipelined = query_service_pb2.PredictStreamRequest(request_id=1, request=question)
    (answer,) = service.stub().PredictStream(iter([pipelined]), timeout=PATIENCE_S)
    assert answer.response.predictions[0].timing.model_micros >= _MODEL_S * _MICROS
