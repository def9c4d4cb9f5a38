"""What the query service counts: answers by application, batches by model version, the cache."""

import time

from services.common.metrics import Histogram, Meter
from services.query.engine.cache import PredictionCache
from services.query.engine.requests import Request
from services.query.engine.versions import Batch, Version
from services.query.telemetry.counts import ApplicationCounts, Counts, VersionCounts
from services.query.telemetry.default_log import DefaultLog

_MICROS = 1e6


class Telemetry:
    """All counts of this process. The recording methods are called by one thread at a time."""

    def __init__(self, cache: PredictionCache) -> None:
        self._cache = cache
        self._default_log = DefaultLog()
        self._applications: dict[str, ApplicationCounts] = {}
        self._versions: dict[str, tuple[Version, VersionCounts]] = {}
        self._throughput = Meter(time.monotonic())
        self._queueing_micros = Histogram()

    def request_finished(self, request: Request, now_s: float) -> None:
        """Counts a request's answers."""
        name = request.route.application.name
        application = self._applications.get(name)
        if application is None:
            application = self._applications[name] = ApplicationCounts(request.arrival_s)
        application.latency_micros.record((now_s - request.arrival_s) * _MICROS)
        application.throughput.mark(len(request.queries), now_s)
        for query in request.queries:
            if query.reason:
                application.defaults[query.reason] += 1
                self._default_log.add(name, query.reason, query.explanation)
        if self._default_log.due_s <= now_s:
            self._default_log.write(now_s)

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
        return Counts(
            applications=self._applications.copy(),
            versions={key: counts for key, (_version, counts) in versions.items()},
            throughput=self._throughput,
            queueing_micros=self._queueing_micros,
            cache_lookups=self._cache.lookups,
            cache_hits=self._cache.hits,
            cache_bytes=self._cache.size_bytes,
        )
