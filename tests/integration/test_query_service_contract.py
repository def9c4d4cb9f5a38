"""Containers that break their contract: what they owe is answered, and they serve again when they keep it."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from clipper.v1 import model_container_service_pb2 as pb
from clipper.v1 import query_service_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from services.common.names import MODEL_CONTAINER_SERVICE
from tests.fixtures.query_services import PATIENCE_S, QueryServiceProcess, Registry, request, wait_until_predicted
from tests.fixtures.redis_server import RedisServer
from tests.fixtures.waiting import wait_until

_METHOD = "PredictBatch"

Answers = Callable[[pb.PredictBatchRequest], bytes]


def _unknown_batch(batch: pb.PredictBatchRequest) -> bytes:
    return pb.PredictBatchResponse(batch_id=batch.batch_id + 1000, outputs=["1"]).SerializeToString()


def _not_a_message(_batch: pb.PredictBatchRequest) -> bytes:
    return b"\xff\xff\xff"


def _too_few_outputs(batch: pb.PredictBatchRequest) -> bytes:
    return pb.PredictBatchResponse(batch_id=batch.batch_id).SerializeToString()


def _sound(batch: pb.PredictBatchRequest) -> bytes:
    return pb.PredictBatchResponse(
        batch_id=batch.batch_id, outputs=["1"] * len(batch.inputs.lengths)
    ).SerializeToString()


@contextmanager
def _container(answers: list[Answers]) -> Iterator[str]:
    """A container that answers its first batches as told and then soundly; yields its address."""

    def predict(batches: Iterator[pb.PredictBatchRequest], _context: grpc.ServicerContext) -> Iterator[bytes]:
        for batch in batches:
            yield (answers.pop(0) if answers else _sound)(batch)

    handler: grpc.RpcMethodHandler[Any, Any] = grpc.stream_stream_rpc_method_handler(
        predict, request_deserializer=pb.PredictBatchRequest.FromString
    )
    health_servicer = health.HealthServicer()
    health_servicer.set(MODEL_CONTAINER_SERVICE, health_pb2.HealthCheckResponse.SERVING)
    with ThreadPoolExecutor() as threads:
        server = grpc.server(threads, options=[("grpc.http2.max_ping_strikes", 0)])
        server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(MODEL_CONTAINER_SERVICE, {_METHOD: handler})]
        )
        health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.stop(None).wait()


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        pytest.param(_unknown_batch, query_service_pb2.DEFAULT_REASON_REPLICA_LOST, id="unknown batch"),
        pytest.param(_not_a_message, query_service_pb2.DEFAULT_REASON_REPLICA_LOST, id="not a message"),
        pytest.param(_too_few_outputs, query_service_pb2.DEFAULT_REASON_MODEL_ERROR, id="too few outputs"),
    ],
)
def test_a_bad_answer_costs_its_batch_only(
    redis_server: RedisServer, tmp_path: Path, bad: Answers, reason: int
) -> None:
    registry = Registry(redis_server)
    registry.add_application("app", "m")
    registry.add_version("m", "1")
    with _container([bad]) as address, QueryServiceProcess(redis_server, tmp_path) as service:
        registry.add_replica("m", "1", 0, address)
        question, reasons = request("app", [[1.0]]), []

        def is_sent() -> bool:
            """Whether the query service knew the container when it was asked, and sent it a batch."""
            (prediction,) = service.stub().Predict(question, timeout=PATIENCE_S).predictions
            reasons.append(prediction.default_reason)
            return reasons[-1] != query_service_pb2.DEFAULT_REASON_NO_REPLICA

        wait_until(is_sent)
        assert reasons[-1] == reason
        wait_until_predicted(service, question)
