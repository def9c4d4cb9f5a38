"""The memory of a query service over many predictions of distinct inputs, its cache full and evicting."""

import random
import threading
from dataclasses import dataclass
from statistics import linear_regression

import grpc
from clipper.v1.query_service_pb2_grpc import QueryServiceStub

from bench import counters
from bench.cluster import ADAPTIVE, QueryService
from bench.errors import BenchmarkError
from bench.payloads import OUTPUT, VECTOR_LENGTH, predict_request

_VECTORS_A_CALL = 64
_IN_FLIGHT = 16
_STEP = 100_000
_DOUBLE_BYTES = 8
_TIMEOUT_S = 10.0
# What the allocator's noise may look like over a million predictions. The smallest object that could leak is larger.
MOST_GROWTH_BYTES = 4.0
# The cache is full after about one step and settled after two; a slope takes some more.
FEWEST_PREDICTIONS = 4 * _STEP


@dataclass(frozen=True, slots=True)
class Reading:
    """The service at one moment.

    Attributes:
        predictions: answered until then.
        resident_bytes: its resident memory.
        cache_bytes: what its cache says it takes.
    """

    predictions: int
    resident_bytes: int
    cache_bytes: int


@dataclass(frozen=True, slots=True)
class MemorySeries:
    """Readings, oldest first."""

    readings: list[Reading]

    @property
    def growth_bytes(self) -> float:
        """Bytes a prediction by which resident memory grows once the cache is full: the least squares' slope.

        The first reading with a full cache does not count: until every entry was replaced, memory still settles.
        """
        full_at = 0.99 * self.readings[-1].cache_bytes
        full = [reading for reading in self.readings if reading.cache_bytes >= full_at][1:]
        fit = linear_regression([reading.predictions for reading in full], [reading.resident_bytes for reading in full])
        return fit.slope

    @property
    def is_flat(self) -> bool:
        """Whether it grows no faster than noise."""
        return self.growth_bytes <= MOST_GROWTH_BYTES


def measure(query: QueryService, predictions: int) -> MemorySeries:
    """Puts at least so many predictions, each of an input never seen before, and reads the memory on the way.

    Raises:
        BenchmarkError: an answer is wrong, or was not computed by the model.
    """
    read_counters = counters.reader(query.metrics, ADAPTIVE)
    before = read_counters()
    readings = [_read(query, 0)]
    generator = random.Random(before.predictions)
    with grpc.insecure_channel(query.address) as channel:
        stub = QueryServiceStub(channel)
        while readings[-1].predictions < predictions:
            calls = _STEP // _VECTORS_A_CALL + 1
            _ask(stub, calls, generator)
            readings.append(_read(query, readings[-1].predictions + calls * _VECTORS_A_CALL))
    counted = read_counters() - before
    put = readings[-1].predictions
    if (counted.predictions, counted.inputs, counted.defaults) != (put, put, 0):
        raise BenchmarkError(f"{put} predictions of distinct inputs were counted as {counted}")
    return MemorySeries(readings)


def _ask(stub: QueryServiceStub, calls: int, generator: random.Random) -> None:
    request = predict_request(ADAPTIVE, _VECTORS_A_CALL)
    places = threading.Semaphore(_IN_FLIGHT)
    futures = []
    for _ in range(calls):
        places.acquire()
        request.inputs.data = generator.randbytes(_VECTORS_A_CALL * VECTOR_LENGTH * _DOUBLE_BYTES)
        future = stub.Predict.future(request, timeout=_TIMEOUT_S)
        future.add_done_callback(lambda _: places.release())
        futures.append(future)
    for future in futures:
        predictions = future.result().predictions
        if [prediction.output for prediction in predictions] != [OUTPUT] * _VECTORS_A_CALL:
            raise BenchmarkError(f"random inputs were answered with {predictions[:3]}")


def _read(query: QueryService, predictions: int) -> Reading:
    return Reading(predictions, query.process.resident_bytes, counters.cache_bytes(query.metrics))
