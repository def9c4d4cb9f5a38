"""Probes: one call each, whose answer is looked at in full. Between them a generator only counts bytes."""

import json
from collections.abc import Callable, Sequence
from typing import TypeAlias

import grpc
import requests
from clipper.v1 import query_service_pb2
from clipper.v1.query_service_pb2_grpc import QueryServiceStub
from google.api import httpbody_pb2
from grpc_health.v1 import health_pb2

from bench.rig.errors import BenchmarkError
from bench.rig.payloads import OUTPUT, PREDICT_STREAM, SERVICE, framed_size, json_request, vector_request

Unary: TypeAlias = "grpc.UnaryUnaryMultiCallable[bytes, bytes]"
Call: TypeAlias = "grpc.StreamStreamMultiCallable[bytes, bytes]"
Probe = Callable[[], int]
"""Asks once and returns how many bytes of such an answer the generator counts; BenchmarkError when it is wrong."""

_TIMEOUT_S = 10.0
_HEALTH_CHECK = "/grpc.health.v1.Health/Check"


def native(address: str, path: str, messages: Sequence[bytes], vectors: int) -> Probe:
    """A probe of a native call.

    Args:
        address: host:port.
        path: the method's full name.
        messages: what the call sends.
        vectors: how many predictions it asks for.
    """

    def ask() -> int:
        with grpc.insecure_channel(address) as channel:
            # On the wire a unary call is a stream of one message.
            call: Call = channel.stream_stream(path)
            answers = list(call(iter(messages), timeout=_TIMEOUT_S))
        predictions = [prediction for answer in answers for prediction in _predictions(path, answer)]
        if len(predictions) != vectors or any(_is_wrong(prediction) for prediction in predictions):
            raise BenchmarkError(f"{path} at {address} answered {vectors} vectors with {predictions[:3]}")
        return framed_size(answers)

    return ask


def rest(address: str, application: str) -> Probe:
    """A probe of a REST call at host:port `address`."""
    url = f"http://{address}/{application}/predict"
    session = requests.Session()
    # Whatever proxies the environment names for the rest of the world.
    session.trust_env = False

    def ask() -> int:
        response = session.post(url, json_request(), timeout=_TIMEOUT_S)
        answer = response.json() if response.ok else {}
        if answer.pop("query_id", -1) < 0 or answer != {"output": json.loads(OUTPUT), "default": False}:
            raise BenchmarkError(f"{url} answered {response.status_code} {response.text}")
        return len(response.content)

    return ask


def is_serving(address: str) -> bool:
    """Whether whoever listens at `address` says that the query service serves."""
    with grpc.insecure_channel(address) as channel:
        check: Unary = channel.unary_unary(_HEALTH_CHECK)
        request = health_pb2.HealthCheckRequest(service=SERVICE)
        try:
            reply = check(request.SerializeToString(), timeout=_TIMEOUT_S)
        except grpc.RpcError:
            return False
    return bool(health_pb2.HealthCheckResponse.FromString(reply).status == health_pb2.HealthCheckResponse.SERVING)


def is_predicting(address: str, application: str) -> bool:
    """Whether the query service at `address` answers with the model's output."""
    with grpc.insecure_channel(address) as channel:
        try:
            response = QueryServiceStub(channel).Predict(vector_request(application), timeout=_TIMEOUT_S)
        except grpc.RpcError:
            return False
    return not any(_is_wrong(prediction) for prediction in response.predictions)


def raw_answers(address: str, application: str) -> dict[str, bytes]:
    """What the query service at `address` answers to one vector, as it is on the wire, by the method's name."""
    body = httpbody_pb2.HttpBody(content_type="application/json", data=json_request())
    with grpc.insecure_channel(address) as channel:
        stub = QueryServiceStub(channel)
        native_answer = stub.Predict(vector_request(application), timeout=_TIMEOUT_S)
        json_answer = stub.PredictJson(
            query_service_pb2.PredictJsonRequest(application=application, body=body), timeout=_TIMEOUT_S
        )
    return {"Predict": native_answer.SerializeToString(), "PredictJson": json_answer.SerializeToString()}


def _predictions(path: str, answer: bytes) -> Sequence[query_service_pb2.Prediction]:
    if path == PREDICT_STREAM:
        return query_service_pb2.PredictStreamResponse.FromString(answer).response.predictions
    return query_service_pb2.PredictResponse.FromString(answer).predictions


def _is_wrong(prediction: query_service_pb2.Prediction) -> bool:
    return prediction.is_default or prediction.output != OUTPUT
