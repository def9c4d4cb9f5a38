"""The memory of a query service over many predictions of distinct inputs, its cache full and evicting."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.rig import counters
from bench.rig.bench import Bench
from bench.rig.client import Client
from bench.rig.cluster import QueryService
from bench.rig.errors import BenchmarkError
from bench.rig.lanes import check_counts
from bench.rig.models import constant
from bench.rig.payloads import OUTPUT, VECTOR_LENGTH
from bench.rig.processes import take_peak_resident_bytes
from bench.rig.report import Check, Finding

_VECTORS_A_CALL = 64
_IN_FLIGHT = 16
_STEP = 100_000
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

    @property
    def mebibytes(self) -> tuple[float, float]:
        return self.peak_resident_bytes / _MEBIBYTE, self.cache_bytes / _MEBIBYTE


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
        chance = np.random.default_rng(before.predictions)
        with Client(query.address, model.name) as client:
            while readings[-1].predictions < bench.amount(_PREDICTIONS, _FEWEST_PREDICTIONS):
                calls = _STEP // _VECTORS_A_CALL + 1
                _ask(client, calls, chance)
                readings.append(_read(query, readings[-1].predictions + calls * _VECTORS_A_CALL))
        counted = read_counters() - before
    check_counts(counted, readings[-1].predictions)
    if counted.inputs != counted.predictions:
        raise BenchmarkError(f"{counted.predictions} predictions of distinct inputs were counted as {counted}")
    return Memory(readings)


def _peak(readings: Sequence[Reading]) -> int:
    return max(reading.peak_resident_bytes for reading in readings)


def _ask(client: Client, calls: int, chance: np.random.Generator) -> None:
    places = threading.Semaphore(_IN_FLIGHT)
    futures = []
    for _ in range(calls):
        places.acquire()
        future = client.predicting(chance.random((_VECTORS_A_CALL, VECTOR_LENGTH)))
        future.add_done_callback(lambda _: places.release())
        futures.append(future)
    for future in futures:
        predictions = future.result().predictions
        if [prediction.output for prediction in predictions] != [OUTPUT] * _VECTORS_A_CALL:
            raise BenchmarkError(f"random inputs were answered with {predictions[:3]}")


def _read(query: QueryService, predictions: int) -> Reading:
    return Reading(predictions, take_peak_resident_bytes(query.pids[0]), counters.cache_bytes(query.metrics))
