"""What operators see of a query service: metrics, health, reflection, query ids."""

import json
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from clipper.v1 import query_service_pb2
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from services.common.names import QUERY_SERVICE
from tests.fixtures import model_containers
from tests.fixtures.query_services import (
    PATIENCE_S,
    SERVING,
    QueryServiceProcess,
    Registry,
    redis_in,
    request,
    wait_until_predicted,
)
from tests.fixtures.redis_server import RedisServer
from tests.fixtures.waiting import wait_until


def _refuse_negatives(inputs: Any) -> list[str]:
    if any(each[0] < 0 for each in inputs):
        raise ValueError("negative")
    return [str(each[0]) for each in inputs]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QueryServiceProcess]:
    """A query service that has answered 21 queries of "app", one of them with a default and ten from the cache."""
    directory = tmp_path_factory.mktemp("query")
    with ExitStack() as stack:
        redis = stack.enter_context(redis_in(directory / "redis"))
        container = stack.enter_context(model_containers.serving(_refuse_negatives))
        registry = Registry(redis)
        registry.add_application("app", "m")
        registry.add_version("m", "1.0")
        registry.add_replica("m", "1.0", 0, container.address)
        service = stack.enter_context(QueryServiceProcess(redis, directory))
        rows = [[float(number)] for number in range(10)]
        for batch in ([[-1.0]], rows, rows):
            service.stub().Predict(request("app", batch), timeout=PATIENCE_S)
        yield service


def _metrics(service: QueryServiceProcess) -> dict[str, dict[str, dict[str, Any]]]:
    """The document of GetMetrics, its lists of single entries as objects."""
    answer = service.stub().GetMetrics(query_service_pb2.GetMetricsRequest(), timeout=PATIENCE_S).body
    assert answer.content_type == "application/json"
    document = json.loads(answer.data)
    assert all(len(entry) == 1 for entries in document.values() for entry in entries)
    return {
        group: {name: value for entry in entries for name, value in entry.items()}
        for group, entries in document.items()
    }


def test_metrics_have_the_known_names_and_numbers_are_numbers(asked: QueryServiceProcess) -> None:
    metrics = _metrics(asked)
    assert list(metrics) == ["counters", "ratio_counters", "meters", "histograms"]
    assert metrics["counters"] == {
        "app:app:num_default_predictions:model_error": {"count": 1},
        "app:app:num_predictions": {"count": 21},
        "internal:aggregate_num_predictions": {"count": 21},
        "internal:num_quarantined": {"count": 0},
        "internal:num_unreadable_changes": {"count": 0},
        "internal:num_unrecorded_predictions": {"count": 0},
        "internal:prediction_cache_lookups": {"count": 21},
        "internal:store_refused": {"count": 0},
        "model:m:1.0:num_predictions": {"count": 11},
    }
    assert metrics["ratio_counters"] == {
        "app:app:default_prediction_ratio": {"ratio": pytest.approx(1 / 21)},
        "internal:prediction_cache_hit_ratio": {"ratio": pytest.approx(10 / 21)},
        "model:m:1.0:cache_hit_ratio": {"ratio": pytest.approx(10 / 21)},
    }


def test_metrics_have_meters_and_histograms_with_their_units(asked: QueryServiceProcess) -> None:
    metrics = _metrics(asked)
    assert list(metrics["meters"]) == [
        "app:app:prediction_throughput",
        "internal:aggregate_model_throughput",
        "model:m:1.0:prediction_throughput",
    ]
    for meter in metrics["meters"].values():
        assert list(meter) == ["unit", "rate", "rate_1min", "rate_5min", "rate_15min"]
        assert meter["unit"] == "events per second"
        assert meter["rate"] > 0
    units = {
        "app:app:prediction_latency": "microseconds",
        "internal:loop_lag": "microseconds",
        "internal:rpc_request_queueing_delay": "microseconds",
        "model:m:1.0:batch_size": "queries",
        "model:m:1.0:prediction_latency": "microseconds",
    }
    assert {name: histogram["unit"] for name, histogram in metrics["histograms"].items()} == units
    for histogram in metrics["histograms"].values():
        assert list(histogram) == ["unit", "size", "min", "max", "mean", "std_dev", "p50", "p95", "p99"]
        assert 0 <= histogram["min"] <= histogram["p50"] <= histogram["p95"] <= histogram["p99"] <= histogram["max"]
    assert metrics["histograms"]["app:app:prediction_latency"]["size"] == 3


def test_prometheus_reads_the_same_from_the_metrics_port(asked: QueryServiceProcess) -> None:
    with urllib.request.urlopen(f"http://{asked.metrics_address}/metrics", timeout=PATIENCE_S) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain")
        lines = answer.read().decode().splitlines()
    samples = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert samples['clipper_predictions_total{application="app"}'] == "21.0"
    assert samples['clipper_default_predictions_total{application="app",reason="model_error"}'] == "1.0"
    assert samples['clipper_prediction_latency_seconds_count{application="app"}'] == "3.0"
    assert samples['clipper_prediction_latency_seconds_bucket{application="app",le="+Inf"}'] == "3.0"
    assert 0 < float(samples['clipper_prediction_latency_seconds_sum{application="app"}']) < PATIENCE_S
    assert samples['clipper_model_predictions_total{model="m",version="1.0"}'] == "11.0"
    assert samples["clipper_cache_hits_total"] == "10.0"
    assert float(samples["clipper_cache_bytes"]) > 0


def test_the_log_tells_which_application_got_defaults_and_why(asked: QueryServiceProcess) -> None:
    def lines() -> list[dict[str, Any]]:
        return [line for line in asked.log() if line["message"] == "queries went without a prediction"]

    wait_until(lambda: bool(lines()))
    (line,) = lines()
    assert line["level"] == "WARNING"
    assert (line["application"], line["defaults"]) == ("app", {"model_error": 1})
    assert line["model_error"] == "ValueError: negative"


def test_health_is_told_for_the_process_and_the_service(asked: QueryServiceProcess) -> None:
    assert asked.health("") == asked.health(QUERY_SERVICE) == SERVING
    with pytest.raises(grpc.RpcError) as unknown:
        asked.health("unknown")
    assert unknown.value.code() is grpc.StatusCode.NOT_FOUND
    watch = asked.watch_health("unknown")
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    watch.cancel()


def test_reflection_lists_the_services_and_describes_them(asked: QueryServiceProcess) -> None:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(asked.channel())
    questions = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=QUERY_SERVICE),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="no.Such"),
    ]
    listed, described, unknown = stub.ServerReflectionInfo(iter(questions), timeout=PATIENCE_S)
    names = {each.name for each in listed.list_services_response.service}
    assert names == {QUERY_SERVICE, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}
    file = descriptor_pb2.FileDescriptorProto.FromString(described.file_descriptor_response.file_descriptor_proto[0])
    methods = {method.name for method in file.service[0].method}
    assert methods == {"Predict", "PredictStream", "PredictJson", "Feedback", "FeedbackJson", "GetMetrics"}
    assert unknown.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


def test_an_unknown_method_is_unimplemented(asked: QueryServiceProcess) -> None:
    guess: grpc.UnaryUnaryMultiCallable[bytes, bytes]
    guess = asked.channel().unary_unary(f"/{QUERY_SERVICE}/Guess")
    with pytest.raises(grpc.RpcError) as refused:
        guess(b"", timeout=PATIENCE_S)
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_query_ids_are_unique_across_services_and_restarts(redis_server: RedisServer, tmp_path: Path) -> None:
    registry = Registry(redis_server)
    registry.add_application("app", None)

    def ids(service: QueryServiceProcess) -> list[int]:
        questions = [request("app", [[1.0]] * 10) for _ in range(20)]
        with ThreadPoolExecutor(4) as threads:
            answers = list(threads.map(lambda each: service.stub().Predict(each, timeout=PATIENCE_S), questions))
        return [prediction.query_id for answer in answers for prediction in answer.predictions]

    with QueryServiceProcess(redis_server, tmp_path) as first, QueryServiceProcess(redis_server, tmp_path) as second:
        seen = ids(first) + ids(second)
    with QueryServiceProcess(redis_server, tmp_path) as third:
        seen += ids(third)
        redis_server.kill()
        redis_server.start()
        seen += ids(third)
    assert len(seen) == len(set(seen)) == 800
    assert max(seen) < 2**53


def test_the_cache_can_be_turned_off(redis_server: RedisServer, tmp_path: Path) -> None:
    sizes: list[int] = []

    def count(inputs: Any) -> list[str]:
        sizes.append(len(inputs))
        return ["1"] * len(inputs)

    registry = Registry(redis_server)
    registry.add_application("app", "m")
    registry.add_version("m", "1")
    with model_containers.serving(count) as container:
        registry.add_replica("m", "1", 0, container.address)
        with QueryServiceProcess(redis_server, tmp_path, cache_size_bytes="0") as service:
            for _ in range(3):
                wait_until_predicted(service, request("app", [[1.0], [1.0]]))
    assert sum(sizes) == 6
