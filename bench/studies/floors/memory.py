"""The memory of a query service over many predictions of distinct inputs, its cache full and evicting."""

import random
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import grpc
from clipper.v1.query_service_pb2_grpc import QueryServiceStub

from bench.rig import counters
from bench.rig.bench import Bench
from bench.rig.cluster import QueryService
from bench.rig.errors import BenchmarkError
from bench.rig.lanes import check_counts
from bench.rig.models import constant
from bench.rig.payloads import OUTPUT, VECTOR_LENGTH, vector_request
from bench.rig.processes import take_peak_resident_bytes
from bench.rig.report import Check, Finding, table

_VECTORS_A_CALL = 64
_IN_FLIGHT = 16
_STEP = 100_000
_DOUBLE_BYTES = 8
_TIMEOUT_S = 10.0
_SLO_S = 2.0
_MEBIBYTE = 2**20
_PREDICTIONS = 1_000_000
# What the allocator's noise may look like over a million predictions. The smallest object that could leak is larger.
_MOST_GROWTH_BYTES = 4.0
# The cache is full after about one step and settled after two; two halves take some more.
_FEWEST_PREDICTIONS = 4 * _STEP


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
class Memory(Finding):
    """What was found: readings, oldest first."""

    readings: Sequence[Reading]

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

    def checks(self) -> list[Check]:
        """That it grows no faster than noise."""
        return [Check("growth of the memory, bytes a prediction", self.growth_bytes, most=_MOST_GROWTH_BYTES)]

    def words(self) -> Mapping[str, object]:
        """See `Finding`."""
        columns: dict[str, Callable[[Reading], str]] = {
            "predictions": lambda each: f"{each.predictions:,}",
            "peak resident, MiB": lambda each: f"{each.peak_resident_bytes / _MEBIBYTE:.1f}",
            "cache, MiB": lambda each: f"{each.cache_bytes / _MEBIBYTE:.1f}",
        }
        return {"memory": table(self.readings, columns), "growth": f"{self.growth_bytes:+.2f} bytes a prediction"}


def measure(bench: Bench) -> Memory:
    """Puts many predictions, each of an input never seen before, and reads the memory on the way.

    Raises:
        BenchmarkError: an answer is wrong, or was not computed by the model.
    """
    model, query = constant("remembered"), bench.cluster.query
    with bench.cluster.serving(model), bench.cluster.application(model.name, [model], _SLO_S):
        read_counters = counters.reader(query.metrics, model.name)
        before = read_counters()
        readings = [_read(query, 0)]
        generator = random.Random(before.predictions)
        with grpc.insecure_channel(query.address) as channel:
            while readings[-1].predictions < bench.amount(_PREDICTIONS, _FEWEST_PREDICTIONS):
                calls = _STEP // _VECTORS_A_CALL + 1
                _ask(QueryServiceStub(channel), model.name, calls, generator)
                readings.append(_read(query, readings[-1].predictions + calls * _VECTORS_A_CALL))
        counted = read_counters() - before
    check_counts(counted, readings[-1].predictions)
    if counted.inputs != counted.predictions:
        raise BenchmarkError(f"{counted.predictions} predictions of distinct inputs were counted as {counted}")
    return Memory(readings)


def _peak(readings: Sequence[Reading]) -> int:
    return max(reading.peak_resident_bytes for reading in readings)


def _ask(stub: QueryServiceStub, application: str, calls: int, generator: random.Random) -> None:
    request = vector_request(application, _VECTORS_A_CALL)
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
    return Reading(predictions, take_peak_resident_bytes(query.pids[0]), counters.cache_bytes(query.metrics))
