"""What the engine alone costs: driven here in virtual time, in processor time for each prediction."""

import gc
import heapq
import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.rig.bench import Bench
from bench.rig.report import Finding
from bench.studies.slo.models import PIXELS
from services.common.names import InputType
from services.common.records import Application, Change, Configuration, CurrentVersion, ModelVersion, Replica
from services.query.engine.engine import Engine
from services.query.engine.requests import NOBODY, Request
from services.query.engine.versions import Batch

_POLICIES = ("adaptive", "aimd", "quantile", "fixed")
_INPUTS_A_CALL = (1, 64)
_SLO_S = 0.02
# The replica's speed, about the linear SVM's, and the load: what it can do.
_BATCH_S = 0.001
_INPUT_S = 0.00002
_PREDICTIONS = 100_000
_LOAD = 0.8
_FIXED_SIZE = 256
_QUEUE_CAPACITY = 100_000
_COLLECT_AFTER_ALLOCATIONS = 100_000
_INPUT = bytes(8 * PIXELS)


@dataclass(frozen=True, slots=True)
class EngineCost(Finding):
    """What was found: microseconds of processor time for each prediction, by policy and inputs a call."""

    micros: Mapping[str, Sequence[float]]


def measure(bench: Bench) -> EngineCost:
    """Each policy at most of a replica's capacity."""
    predictions = bench.amount(_PREDICTIONS)
    return EngineCost(
        {policy: [cost_micros(policy, inputs, predictions) for inputs in _INPUTS_A_CALL] for policy in _POLICIES}
    )


def cost_micros(policy: str, inputs_a_call: int, predictions: int) -> float:
    """Microseconds for each of so many predictions: all that the engine does between arrival and answer."""
    drive = _Drive(policy, inputs_a_call)
    # As the query service does: what was there before is not looked through again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER_ALLOCATIONS)
    start_s = time.process_time()
    drive.run(predictions)
    return (time.process_time() - start_s) / predictions * 1e6


class _Drive:
    """An engine with one replica, whose batches are answered when they would be."""

    def __init__(self, policy: str, inputs_a_call: int) -> None:
        self._inputs = [_INPUT] * inputs_a_call
        self._engine = Engine(0, _QUEUE_CAPACITY)
        self._answers: list[tuple[float, int, Batch]] = []
        self._numbers = itertools.count()
        self._free_s = 0.0
        size = _FIXED_SIZE if policy == "fixed" else -1
        changes = (
            Change.put(Application("app", InputType.DOUBLES, "", round(_SLO_S * 1e6), ("m",))),
            Change.put(ModelVersion("m", "1", InputType.DOUBLES, batch_size=size, batching_policy=policy)),
            Change.put(CurrentVersion("m", "1")),
            Change.put(Replica("m", "1", 0, InputType.DOUBLES, "host:1")),
        )
        self._engine.configure(Configuration().apply(1, changes), 0.0)
        for replica in self._engine.take_effects().dialled:
            self._engine.replica_ready(replica, 0.0)

    def run(self, predictions: int) -> None:
        """Asks for so many, and waits until all are answered."""
        route = self._engine.routes["app"]
        interval_s = len(self._inputs) * _INPUT_S / _LOAD
        for number in range(predictions // len(self._inputs)):
            now_s = number * interval_s
            self._pass_time(now_s)
            request = Request(route, route.version, self._inputs, number, now_s, now_s + _SLO_S, NOBODY)
            self._engine.submit(request, now_s)
            self._engine.dispatch(now_s)
            self._collect(now_s)
        self._pass_time(float("inf"))

    def _pass_time(self, until_s: float) -> None:
        while True:
            answer_s = self._answers[0][0] if self._answers else float("inf")
            now_s = min(answer_s, self._engine.wake_at_s)
            if now_s >= until_s:
                return
            if now_s == answer_s:
                batch = heapq.heappop(self._answers)[2]
                outputs = [""] * len(batch.tasks)
                self._engine.batch_answered(batch.replica, batch.batch_id, outputs, {}, 0.0, now_s)
            else:
                self._engine.advance(now_s)
            self._collect(now_s)

    def _collect(self, now_s: float) -> None:
        for batch in self._engine.take_effects().sent:
            self._free_s = max(self._free_s, now_s) + _BATCH_S + _INPUT_S * len(batch.tasks)
            heapq.heappush(self._answers, (self._free_s, next(self._numbers), batch))
