"""The simulator: the query service's real engine among simulated clients and replicas, in virtual time.

It is a list of events by time. After each event the engine's effects are carried out as the query service does it:
batches go to replicas, new replicas are dialled, the connections of released ones end, and the engine is woken at
`wake_at_s`. A `Referee` watches; the same seed gives the same run.
"""

import heapq
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from random import Random
from typing import Any

from services.common.errors import StoreUnavailable
from services.common.names import ADAPTIVE_BATCH_SIZE, InputType
from services.common.records import Application, Change, Configuration, CurrentVersion, ModelVersion, version_key
from services.common.records import Replica as ReplicaRecord
from services.common.selection_records import ContextKey, PredictionRecord
from services.query.engine.batching import BatchingPolicy
from services.query.engine.effects import Effects
from services.query.engine.engine import Engine
from services.query.engine.feedback import Feedback, FeedbackItem, FeedbackRequest
from services.query.engine.requests import NOBODY, Request
from services.query.engine.versions import Replica, Route, Version
from simulation.clients import Clients
from simulation.loads import Load
from simulation.referee import Referee
from simulation.replicas import ServiceTime, SimulatedReplica
from simulation.report import Report
from simulation.store import SimulatedStore

_DIAL_S = 0.02
# A connection's reset takes this long to be noticed.
_NOTICE_S = 0.001
# For so long a query service may be busy with events before it finds the time to dispatch.
_LONGEST_BURST_S = 0.0005
# The order of float operations may move a deadline by this much.
_ROUNDING_S = 1e-9
# The journal's patience with Redis.
_LONGEST_READ_S = 0.02
# For so long it waits for Redis to find or to learn something.
_LONGEST_ANSWER_S = 1.0
# Predictions are gathered before they are recorded.
_RECORDED_S = 0.05
_AWAY = StoreUnavailable("Redis is away")
_MICROS = 1e6


class Simulator:
    """One query service, its clients and its replicas.

    Attributes:
        engine: the engine.
        now_s: the virtual time.
        random: where the chance of replicas and of the query service comes from.
        store: what Redis has.
        read_s: how long Redis takes to tell or learn something; infinity while it is away.
        on_prediction: told of each prediction of an application that chooses among models.
        on_finished: told of each request that has its answers.
        on_taught: told of each request of feedback when it is known what became of it.
        referee: watches.
        next_query_id: the first query id that is free.
    """

    def __init__(
        self, seed: int, *, cache_bytes: int = 0, queue_capacity: int = 100_000, most_late_s: float = _ROUNDING_S
    ) -> None:
        self.random = Random(seed)
        self.engine = Engine(cache_bytes, queue_capacity, self.random)
        self.now_s = 0.0
        self.store = SimulatedStore()
        self.read_s = 0.001
        self.on_prediction: Callable[[PredictionRecord], None] = lambda prediction: None
        self.on_finished: Callable[[Request], None] = lambda request: None
        self.on_taught: Callable[[FeedbackRequest], None] = lambda request: None
        self.referee = Referee(self.engine, most_late_s)
        self._seeds = itertools.count(seed << 32)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._configuration = Configuration()
        self._containers: dict[str, tuple[str, ServiceTime, BatchingPolicy | None]] = {}
        self._fleet: dict[Replica, SimulatedReplica] = {}
        self.next_query_id = 0
        self._dispatches = False

    # The script of a run

    def at(self, time_s: float, action: Callable[[], None]) -> None:
        """Has something happen at a time."""
        heapq.heappush(self._events, (time_s, next(self._numbers), action))

    def after(self, delay_s: float, action: Callable[[], None]) -> None:
        """Has something happen in a while."""
        self.at(self.now_s + delay_s, action)

    def offer(self, load: Load) -> None:
        """Has clients ask for predictions from now on."""
        Clients(self, load, next(self._seeds)).start()

    def run(self) -> Report:
        """Lets everything happen that is going to."""
        engine, events = self.engine, self._events
        while True:
            wake_at_s = engine.wake_at_s
            if events and events[0][0] < wake_at_s:
                self.now_s, _, action = heapq.heappop(events)
                action()
            elif wake_at_s < math.inf:
                self.now_s = wake_at_s
                engine.advance(wake_at_s)
                assert engine.wake_at_s > wake_at_s, "the engine was woken in vain"
                self._carry_out()
            else:
                break
        self.referee.ended()
        return self.referee.report

    # What is registered

    def add_application(
        self,
        name: str,
        model: str,
        slo_s: float,
        *,
        others: Sequence[str] = (),
        **attributes: Any,
    ) -> None:
        """Registers an application that is linked to a model, and to others when its selection policy takes several."""
        record = Application(
            name,
            InputType.BYTES,
            f"default of {name}",
            round(slo_s * _MICROS),
            (model, *others),
            **attributes,
        )
        self._change(Change.put(record))

    def delete_application(self, name: str) -> None:
        """Deletes an application."""
        self._change(Change.delete(self._configuration.applications[name]))

    def add_version(
        self,
        model: str,
        version: str,
        *,
        image: str = "",
        batch_size: int = ADAPTIVE_BATCH_SIZE,
        policy: str = "",
        delay_s: float = 0.0,
    ) -> None:
        """Registers a version and makes it current."""
        record = ModelVersion(
            model,
            version,
            InputType.BYTES,
            container_name=image or version_key(model, version),
            batch_size=batch_size,
            batching_policy=policy,
            batch_delay_micros=round(delay_s * _MICROS),
            registration=self._configuration.revision + 1,
        )
        self._change(Change.put(record), Change.put(CurrentVersion(model, version)))

    def delete_version(self, model: str, version: str) -> None:
        """Deletes a version; its replicas stay."""
        self._change(Change.delete(self._configuration.model_versions[version_key(model, version)]))

    def add_replica(
        self,
        model: str,
        version: str,
        replica_id: int,
        service_time: ServiceTime,
        *,
        image: str = "",
        rule: BatchingPolicy | None = None,
    ) -> None:
        """Gives a replica that was started from `image` its lease; a rule plans its batches if there is one."""
        record = ReplicaRecord(model, version, replica_id, InputType.BYTES, f"host:{replica_id}")
        self._containers[record.key] = (image or record.version_key, service_time, rule)
        self._change(Change.put(record))

    def remove_replica(self, key: str) -> None:
        """Ends a replica's lease."""
        self._change(Change.delete(self._configuration.replicas[key]))

    # Replicas

    def crash_replica(self, key: str, down_s: float) -> None:
        """Kills a replica; it is back, under the same lease, after `down_s`."""
        simulated = self._simulated(key)
        simulated.crash()
        self.after(_NOTICE_S, lambda: self._lose(simulated))
        self.after(down_s, lambda: self._return(simulated))

    def freeze_replica(self, key: str, frozen_s: float) -> None:
        """Stops a replica, connected as it is; it goes on after `frozen_s`."""
        simulated = self._simulated(key)
        simulated.freeze()
        self.after(frozen_s, simulated.thaw)

    def change_speed(self, key: str, service_time: ServiceTime) -> None:
        """Makes a replica faster or slower, from its next batch on."""
        self._simulated(key).service_time = service_time

    def answer(
        self,
        replica: Replica,
        batch_id: int,
        outputs: Sequence[str],
        failures: Mapping[int, str],
        model_s: float,
    ) -> None:
        """A replica answers a batch; an answer that nobody expects any more is ignored."""
        self.referee.report.busy_s += model_s
        if batch_id in replica.in_flight:
            self.engine.batch_answered(replica, batch_id, outputs, failures, model_s, self.now_s)
            self._carry_out()

    # Clients

    def ask(
        self, route: Route, version: Version | None, inputs: list[bytes], deadline_s: float, context: str = ""
    ) -> Request:
        """A client submits a request."""
        request = Request(route, version, inputs, self.next_query_id, self.now_s, deadline_s, NOBODY, context)
        self.submit(request, inputs)
        return request

    def submit(self, request: Request, inputs: list[bytes]) -> None:
        """The engine is given a request, whose query ids are free."""
        self.next_query_id = request.first_query_id + len(inputs)
        self.referee.submitted(request, inputs)
        self.engine.submit(request, self.now_s)
        if not request.unanswered:
            self._carry_out()
        self._dispatch_soon()

    def leave(self, request: Request) -> None:
        """A client goes, if it still waits."""
        if self.referee.is_open(request):
            self.referee.cancelled(request)
            self.engine.cancel(request)

    def tell(self, route: Route, *items: FeedbackItem) -> None:
        """A client gives feedback."""
        request = FeedbackRequest(route, items, self._now_ms, NOBODY)
        self.referee.told(request)
        self.engine.feedback(request, self.now_s)
        self._dispatch_soon()

    # The query service

    def _dispatch_soon(self) -> None:
        if self.engine.has_undispatched and not self._dispatches:
            self._dispatches = True
            self.after(self.random.random() * _LONGEST_BURST_S, self._dispatch)

    def _dispatch(self) -> None:
        self._dispatches = False
        self.engine.dispatch(self.now_s)
        self._carry_out()

    def _change(self, *changes: Change) -> None:
        self._configuration = self._configuration.apply(self._configuration.revision + 1, changes)
        self.engine.configure(self._configuration, self.now_s)
        self.referee.configured()
        self._carry_out()

    def _carry_out(self) -> None:
        effects = self.engine.take_effects()
        for replica in effects.dialled:
            self._dial(replica)
        for batch in effects.sent:
            self.referee.sent(batch)
            self._fleet[batch.replica].receive(batch)
        for request in effects.finished:
            self.referee.finished(request, self.now_s)
            self.on_finished(request)
        for prediction in effects.predictions:
            self.referee.predicted(prediction)
            self.after(_RECORDED_S, partial(self.store.record, prediction, self._now_ms))
            self.on_prediction(prediction)
        self._ask_store(effects)
        for told in effects.taught:
            self.referee.taught(told)
            self.on_taught(told)
        for replica in effects.released:
            self._end(replica)
        self._dispatch_soon()

    @property
    def _now_ms(self) -> int:
        return round(self.now_s * 1e3)

    def _ask_store(self, effects: Effects) -> None:
        for key in effects.reads:
            self._read(key)
        for feedback in effects.joins:
            self._join(feedback)
        for feedback in effects.lessons:
            self._learn(feedback)

    def _join(self, feedback: Feedback) -> None:
        query = feedback.query

        def tell() -> None:
            found = self.store.join(query) if self.read_s < math.inf else _AWAY
            self.engine.joined(feedback, found, self.now_s)
            self._carry_out()

        self.after(min(self.read_s, _LONGEST_ANSWER_S), tell)

    def _learn(self, feedback: Feedback) -> None:
        def tell() -> None:
            is_there = self.read_s < math.inf
            outcome = self.store.learn(feedback.lesson) if feedback.lesson is not None and is_there else _AWAY
            self.engine.learned(feedback, outcome, self.now_s)
            self._carry_out()

        self.after(min(self.read_s, _LONGEST_ANSWER_S), tell)

    def _read(self, key: ContextKey) -> None:
        is_answered = self.read_s <= _LONGEST_READ_S

        def tell() -> None:
            state = self.store.states.get(key, {}) if is_answered else None
            self.engine.state_read(key, state, self.now_s)
            self._carry_out()

        self.after(min(self.read_s, _LONGEST_READ_S), tell)

    def _dial(self, replica: Replica) -> None:
        image, service_time, rule = self._containers[replica.record.key]
        if rule is not None:
            replica.batching = rule
        simulated = self._fleet[replica] = SimulatedReplica(self, replica, image, service_time)
        self.after(_DIAL_S, lambda: self._connect(simulated))

    def _connect(self, simulated: SimulatedReplica) -> None:
        if simulated.up:
            self.engine.replica_ready(simulated.engine_replica, self.now_s)
            self._carry_out()

    def _lose(self, simulated: SimulatedReplica) -> None:
        self.engine.replica_lost(simulated.engine_replica, self.now_s)
        self._carry_out()

    def _return(self, simulated: SimulatedReplica) -> None:
        simulated.up = True
        self.after(_DIAL_S, lambda: self._connect(simulated))

    def _end(self, replica: Replica) -> None:
        assert not replica.in_flight, "a replica is released that still computes"
        simulated = self._fleet.pop(replica, None)
        if simulated is not None:
            # The connection's end is reported like any other.
            self.after(_NOTICE_S, lambda: self._lose(simulated))

    def _simulated(self, key: str) -> SimulatedReplica:
        return next(each for each in self._fleet.values() if each.engine_replica.record.key == key)
