"""Probes: one call each, whose answer is looked at in full. Between them a generator only counts bytes."""

import json
import socket
from collections.abc import Callable, Sequence
from typing import TypeAlias

import grpc
from clipper.v1 import query_service_pb2
from clipper.v1.query_service_pb2_grpc import QueryServiceStub
from google.api import httpbody_pb2

from bench.errors import BenchmarkError
from bench.payloads import OUTPUT, PREDICT_STREAM, framed_size, json_request, predict_request

Call: TypeAlias = "grpc.StreamStreamMultiCallable[bytes, bytes]"
Probe = Callable[[], int]
"""Asks once and returns how many bytes of such an answer the generator counts; BenchmarkError when it is wrong."""

_TIMEOUT_S = 10.0
_BLANK_LINE = b"\r\n\r\n"


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
    """A probe of a REST call at host:port `address`; the whole response counts, headers included."""
    body = json_request()
    request = (
        f"POST /{application}/predict HTTP/1.1\r\nHost: {address}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body

    def ask() -> int:
        host, _, port = address.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=_TIMEOUT_S) as connection:
            connection.sendall(request)
            response = _read_response(connection)
        head, _, text = response.partition(_BLANK_LINE)
        if not head.startswith(b"HTTP/1.1 200 "):
            raise BenchmarkError(f"{address} answered {response.decode()}")
        answer = json.loads(text)
        if answer.pop("query_id") < 0 or answer != {"output": json.loads(OUTPUT), "default": False}:
            raise BenchmarkError(f"{address} answered {text.decode()}")
        return len(response)

    return ask


def is_predicting(address: str, application: str) -> bool:
    """Whether the query service at `address` answers with the model's output."""
    with grpc.insecure_channel(address) as channel:
        try:
            response = QueryServiceStub(channel).Predict(predict_request(application), timeout=_TIMEOUT_S)
        except grpc.RpcError:
            return False
    return not any(_is_wrong(prediction) for prediction in response.predictions)


def raw_answers(address: str, application: str) -> dict[str, bytes]:
    """What the query service at `address` answers to one vector, as it is on the wire, by the method's name."""
    body = httpbody_pb2.HttpBody(content_type="application/json", data=json_request())
    with grpc.insecure_channel(address) as channel:
        stub = QueryServiceStub(channel)
        native_answer = stub.Predict(predict_request(application), timeout=_TIMEOUT_S)
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


def _read_response(connection: socket.socket) -> bytes:
    response = b""
    while _BLANK_LINE not in response:
        response += _received(connection)
    head, _, _ = response.partition(_BLANK_LINE)
    headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    length = len(head) + len(_BLANK_LINE) + int(headers[b"content-length"])
    while len(response) < length:
        response += _received(connection)
    return response


def _received(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise BenchmarkError(f"the connection to {connection.getpeername()} was closed")
    return data
