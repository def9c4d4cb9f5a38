"""What is sent: packed inputs, ten doubles where nothing else is said, as native messages and as JSON."""

import struct
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import orjson
from clipper.v1 import input_pb2, query_service_pb2
from numpy.typing import NDArray

SERVICE = "clipper.v1.QueryService"
PREDICT = f"/{SERVICE}/Predict"
PREDICT_STREAM = f"/{SERVICE}/PredictStream"

VECTOR_LENGTH = 10
VECTOR: NDArray[np.float64] = np.arange(0.5, VECTOR_LENGTH)[np.newaxis]
OUTPUT = "1"
"""What is asked where nothing else is said, and what the model returns."""

_FRAME = struct.Struct(">BI")


def packed(inputs: NDArray[np.float64]) -> input_pb2.Inputs:
    """Inputs of equal lengths, one a row."""
    return input_pb2.Inputs(
        type=input_pb2.INPUT_TYPE_DOUBLES,
        data=np.ascontiguousarray(inputs, "<f8").tobytes(),
        lengths=[inputs.shape[1]] * len(inputs),
    )


def vector_request(application: str, vectors: int = 1) -> query_service_pb2.PredictRequest:
    """A request for `vectors` predictions, of the same vector."""
    return query_service_pb2.PredictRequest(application=application, inputs=packed(VECTOR.repeat(vectors, axis=0)))


def predict_stream_requests(application: str, count: int) -> list[bytes]:
    """The messages of a PredictStream call that pipelines `count` predictions."""
    request = vector_request(application)
    return [
        query_service_pb2.PredictStreamRequest(request_id=number, request=request).SerializeToString()
        for number in range(1, count + 1)
    ]


def json_request() -> bytes:
    """The REST body that asks for one prediction."""
    return orjson.dumps({"input": VECTOR[0].tolist()})


def http_request(address: str, application: str, vectors: int) -> bytes:
    """The REST request, head and body, that asks for `vectors` predictions, of the same vector."""
    body = orjson.dumps({"input_batch": VECTOR.repeat(vectors, axis=0).tolist()})
    head = f"POST /{application}/predict HTTP/1.1\r\nHost: {address}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def framed(messages: Iterable[bytes]) -> bytes:
    """Messages as gRPC sends them: each after a byte that says "not compressed" and its length in four."""
    return b"".join(_FRAME.pack(0, len(message)) + message for message in messages)


def unframed(body: bytes) -> Iterator[bytes]:
    """The messages that `framed` joined."""
    start = 0
    while start < len(body):
        _, length = _FRAME.unpack_from(body, start)
        start += _FRAME.size
        yield body[start : start + length]
        start += length


def framed_size(messages: Sequence[bytes]) -> int:
    """How many bytes `framed` makes of them."""
    return sum(_FRAME.size + len(message) for message in messages)
