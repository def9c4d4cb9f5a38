"""What the query service counts: answers and choices by application, batches by model version, the cache."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from services.common.metrics import Histogram, Meter
from services.common.quarantine import Quarantine
from services.common.selection_records import PredictionRecord
from services.query.engine.engine import Engine
from services.query.engine.feedback import Feedback
from services.query.engine.requests import DefaultReason, Request
from services.query.engine.versions import Batch, Version
from services.query.telemetry.counts import ApplicationCounts, Counts, VersionCounts
from services.query.telemetry.default_log import DefaultLog
from services.query.telemetry.selection_counts import SelectionCounts

_MICROS = 1e6


class Journal(Protocol):
    """Who records predictions for their feedback."""

    @property
    def dropped(self) -> int:
        """How many were not recorded."""

    @property
    def forgotten(self) -> Mapping[str, int]:
        """How many were forgotten too early, by application."""


class Telemetry:
    """All counts of this process. The recording methods are called by one thread at a time.

    Args:
        engine: looked at when the counts are read.
        journal: too.
        quarantine: too.
        lag_micros: of the front's loop.
        refuses_store: whether the store is refused; too.
    """

    def __init__(
        self,
        engine: Engine,
        journal: Journal,
        quarantine: Quarantine,
        lag_micros: Histogram,
        refuses_store: Callable[[], bool],
    ) -> None:
        self._engine = engine
        self._journal = journal
        self._quarantine = quarantine
        self._lag_micros = lag_micros
        self._refuses_store = refuses_store
        self._default_log = DefaultLog()
        self._applications: dict[str, ApplicationCounts] = {}
        self._versions: dict[str, tuple[Version, VersionCounts]] = {}
        self._selections: dict[str, SelectionCounts] = {}
        self._throughput = Meter(time.monotonic())
        self._queueing_micros = Histogram()

    def request_finished(self, request: Request, now_s: float) -> None:
        """Counts a request's answers."""
        name = request.route.application.name
        application = self._application(name, request.arrival_s)
        application.latency_micros.record((now_s - request.arrival_s) * _MICROS)
        application.throughput.mark(len(request.queries), now_s)
        for query in request.queries:
            if query.reason:
                application.defaults[query.reason] += 1
                self._default_log.add(name, query.reason, query.explanation)
        if self._default_log.due_s <= now_s:
            self._default_log.write(now_s)

    def turned_away(self, application: str, inputs: int, arrival_s: float, now_s: float) -> None:
        """Counts a message that came at `arrival_s` and was answered without being looked at."""
        counts = self._application(application, arrival_s)
        counts.latency_micros.record((now_s - arrival_s) * _MICROS)
        counts.throughput.mark(inputs, now_s)
        if inputs:
            counts.defaults[DefaultReason.FRONT_OVERLOADED] += inputs
            self._default_log.add(application, DefaultReason.FRONT_OVERLOADED, count=inputs)
        if self._default_log.due_s <= now_s:
            self._default_log.write(now_s)

    def chosen(self, predictions: Sequence[PredictionRecord]) -> None:
        """Counts whom selection policies have asked."""
        for prediction in predictions:
            self._selection(prediction.key.application).chosen(prediction.chosen)

    def learned(self, application: str, feedback: Feedback) -> None:
        """Counts an application's feedback."""
        self._selection(application).learned(feedback)

    def batch_answered(self, batch: Batch, busy_s: float, now_s: float) -> None:
        """Counts a batch that a replica answered."""
        version, size = batch.tasks[0].version, len(batch.tasks)
        known, counts = self._versions.get(version.record.key, (None, None))
        if counts is None or known is not version:
            counts = VersionCounts(now_s - busy_s)
            self._versions[version.record.key] = version, counts
        counts.batch_size.record(size)
        counts.latency_micros.record(busy_s * _MICROS)
        counts.throughput.mark(size, now_s)
        self._throughput.mark(size, now_s)
        for task in batch.tasks:
            self._queueing_micros.record((batch.sent_s - task.arrival_s) * _MICROS)

    def close(self) -> None:
        """Logs what is still to be logged."""
        self._default_log.write(time.monotonic())

    def counts(self) -> Counts:
        """The counts, which go on counting; any thread may read them."""
        versions = self._versions.copy()
        for version, counts in versions.values():
            counts.cache_lookups, counts.cache_hits = version.cache_lookups, version.cache_hits
        cache = self._engine.cache
        return Counts(
            applications=self._applications.copy(),
            versions={key: counts for key, (_version, counts) in versions.items()},
            selections=self._weighed(),
            throughput=self._throughput,
            queueing_micros=self._queueing_micros,
            lag_micros=self._lag_micros,
            cache_lookups=cache.lookups,
            cache_hits=cache.hits,
            cache_bytes=cache.size_bytes,
            unrecorded=self._journal.dropped,
            quarantined=self._quarantine.by_kind(),
            unreadable_changes=self._quarantine.unreadable_changes,
            refuses_store=self._refuses_store(),
        )

    def _application(self, name: str, since_s: float) -> ApplicationCounts:
        counts = self._applications.get(name)
        if counts is None:
            counts = self._applications[name] = ApplicationCounts(since_s)
        return counts

    def _selection(self, application: str) -> SelectionCounts:
        counts = self._selections.get(application)
        if counts is None:
            counts = self._selections[application] = SelectionCounts()
        return counts

    def _weighed(self) -> dict[str, SelectionCounts]:
        """The counts of all selection policies, with what their weights are now and what the journal says."""
        selections = self._selections.copy()
        for name, counts in selections.items():
            counts.forgotten = self._journal.forgotten.get(name, 0)
            route = self._engine.routes.get(name)
            selector = None if route is None else route.selector
            known = None if selector is None else self._engine.contexts.last(selector.key(""))
            if selector is not None and known is not None:
                counts.weights, counts.weighed_s = selector.weights(known.state), known.known_s
        return selections
