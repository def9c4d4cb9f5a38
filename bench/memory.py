"""The memory of a query service over many predictions of distinct inputs, its cache full and evicting."""

import random
import threading
from dataclasses import dataclass

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
# The cache is full after about one step and settled after two; two halves take some more.
FEWEST_PREDICTIONS = 4 * _STEP


@dataclass(frozen=True, slots=True)
class Reading:
    """The service after some predictions.

    Attributes:
        predictions: answered until then.
        peak_resident_bytes: the most of it that was resident at a time since the reading before. What is resident at
            one moment says less: tables are copied and dropped as the cache evicts, five megabytes at a time.
        cache_bytes: what its cache says it takes.
    """

    predictions: int
    peak_resident_bytes: int
    cache_bytes: int


@dataclass(frozen=True, slots=True)
class MemorySeries:
    """Readings, oldest first."""

    readings: list[Reading]

    @property
    def growth_bytes(self) -> float:
        """Bytes a prediction by which the peak of the second half exceeds that of the first, once the cache is full.

        The first reading with a full cache does not count: until every entry was replaced, memory still settles.
        """
        full_at = 0.99 * self.readings[-1].cache_bytes
        full = [reading for reading in self.readings if reading.cache_bytes >= full_at][1:]
        middle = len(full) // 2
        first, second = full[:middle], full[middle:]
        growth = _peak(second) - _peak(first)
        return growth / (second[-1].predictions - first[-1].predictions)

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


def _peak(readings: list[Reading]) -> int:
    return max(reading.peak_resident_bytes for reading in readings)


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
    return Reading(predictions, query.process.take_peak_resident_bytes(), counters.cache_bytes(query.metrics))
