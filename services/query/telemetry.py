"""What the query service counts: answers by application, batches by model version, the cache.

`GET /metrics` reads it as JSON with the names that Clipper has always used; the metrics port as Prometheus samples.
"""

import time
from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from services.common.metrics import Histogram, Meter, ratio
from services.query.default_log import DefaultLog
from services.query.engine.cache import PredictionCache
from services.query.engine.requests import DefaultReason, Request
from services.query.engine.versions import Batch, Version

_MICROS = 1e6
_LATENCY_BOUNDS_S = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0]
_BATCH_BOUNDS = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0]


class ApplicationTelemetry:
    """Counts of one application."""

    __slots__ = ("defaults", "latency_micros", "throughput")

    def __init__(self, now_s: float) -> None:
        self.latency_micros = Histogram()
        self.throughput = Meter(now_s)
        self.defaults: Counter[DefaultReason] = Counter()


class VersionTelemetry:
    """Counts of one model version."""

    __slots__ = ("batch_size", "latency_micros", "throughput", "version")

    def __init__(self, version: Version, now_s: float) -> None:
        self.version = version
        self.batch_size = Histogram()
        self.latency_micros = Histogram()
        self.throughput = Meter(now_s)


class Telemetry(Collector):
    """All counts of this process. The recording methods are called by one thread at a time."""

    def __init__(self, cache: PredictionCache) -> None:
        self._cache = cache
        self._default_log = DefaultLog()
        self._applications: dict[str, ApplicationTelemetry] = {}
        self._versions: dict[str, VersionTelemetry] = {}
        self._throughput = Meter(time.monotonic())
        self._queueing_micros = Histogram()

    def request_finished(self, request: Request, now_s: float) -> None:
        """Counts a request's answers."""
        name = request.route.application.name
        application = self._applications.get(name)
        if application is None:
            application = self._applications[name] = ApplicationTelemetry(request.arrival_s)
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
        counts = self._versions.get(version.record.key)
        if counts is None or counts.version is not version:
            counts = self._versions[version.record.key] = VersionTelemetry(version, now_s - busy_s)
        counts.batch_size.record(size)
        counts.latency_micros.record(busy_s * _MICROS)
        counts.throughput.mark(size, now_s)
        self._throughput.mark(size, now_s)
        for task in batch.tasks:
            self._queueing_micros.record((batch.sent_s - task.arrival_s) * _MICROS)

    def as_json(self) -> dict[str, list[dict[str, object]]]:
        """The document of `GET /metrics`."""
        now_s = time.monotonic()
        cache = self._cache
        counters: dict[str, object] = {"internal:prediction_cache_lookups": {"count": cache.lookups}}
        ratios: dict[str, object] = {"internal:prediction_cache_hit_ratio": {"ratio": ratio(cache.hits, cache.lookups)}}
        meters: dict[str, object] = {"internal:aggregate_model_throughput": self._throughput.as_json(now_s)}
        histograms: dict[str, object] = {
            "internal:rpc_request_queueing_delay": self._queueing_micros.as_json("microseconds")
        }
        for name, application in list(self._applications.items()):
            defaults = application.defaults.total()
            counters[f"app:{name}:num_predictions"] = {"count": application.throughput.count}
            for reason, count in list(application.defaults.items()):
                counters[f"app:{name}:num_default_predictions:{reason.name.lower()}"] = {"count": count}
            ratios[f"app:{name}:default_prediction_ratio"] = {"ratio": ratio(defaults, application.throughput.count)}
            meters[f"app:{name}:prediction_throughput"] = application.throughput.as_json(now_s)
            histograms[f"app:{name}:prediction_latency"] = application.latency_micros.as_json("microseconds")
        for key, version in list(self._versions.items()):
            lookups, hits = version.version.cache_lookups, version.version.cache_hits
            ratios[f"model:{key}:cache_hit_ratio"] = {"ratio": ratio(hits, lookups)}
            counters[f"model:{key}:num_predictions"] = {"count": version.throughput.count}
            meters[f"model:{key}:prediction_throughput"] = version.throughput.as_json(now_s)
            histograms[f"model:{key}:prediction_latency"] = version.latency_micros.as_json("microseconds")
            histograms[f"model:{key}:batch_size"] = version.batch_size.as_json("queries")
        counters["internal:aggregate_num_predictions"] = {
            "count": sum(application.throughput.count for application in list(self._applications.values()))
        }
        groups = {"counters": counters, "ratio_counters": ratios, "meters": meters, "histograms": histograms}
        return {group: [{name: value} for name, value in sorted(named.items())] for group, named in groups.items()}

    def collect(self) -> Iterator[Metric]:
        """The Prometheus samples; called by the metrics port at each scrape."""
        yield from self._collect_applications()
        yield from self._collect_versions()
        yield CounterMetricFamily("clipper_cache_lookups", "Lookups in the cache.", value=self._cache.lookups)
        yield CounterMetricFamily("clipper_cache_hits", "Predictions answered from the cache.", value=self._cache.hits)
        yield GaugeMetricFamily("clipper_cache_bytes", "What the cache takes.", value=self._cache.size_bytes)

    def _collect_applications(self) -> Iterator[Metric]:
        labels = ["application"]
        answers = CounterMetricFamily("clipper_predictions", "Answers, defaults included.", labels=labels)
        defaults = CounterMetricFamily(
            "clipper_default_predictions",
            "Answers with the default output, and errors where it was forbidden.",
            labels=["application", "reason"],
        )
        latency = HistogramMetricFamily(
            "clipper_prediction_latency_seconds", "From a request's arrival to its answer.", labels=labels
        )
        for name, application in list(self._applications.items()):
            answers.add_metric([name], application.throughput.count)
            for reason, count in list(application.defaults.items()):
                defaults.add_metric([name, reason.name.lower()], count)
            _add_histogram(latency, [name], application.latency_micros, _LATENCY_BOUNDS_S, _MICROS)
        yield from (answers, defaults, latency)

    def _collect_versions(self) -> Iterator[Metric]:
        labels = ["model", "version"]
        predictions = CounterMetricFamily("clipper_model_predictions", "Inputs evaluated.", labels=labels)
        sizes = HistogramMetricFamily("clipper_model_batch_size", "Inputs in a batch.", labels=labels)
        latency = HistogramMetricFamily(
            "clipper_model_latency_seconds",
            "How long a replica was busy with a batch, transfer included.",
            labels=labels,
        )
        for key, version in list(self._versions.items()):
            names = key.split(":", 1)
            predictions.add_metric(names, version.throughput.count)
            _add_histogram(sizes, names, version.batch_size, _BATCH_BOUNDS, 1.0)
            _add_histogram(latency, names, version.latency_micros, _LATENCY_BOUNDS_S, _MICROS)
        yield from (predictions, sizes, latency)


def _add_histogram(
    family: HistogramMetricFamily, labels: list[str], histogram: Histogram, bounds: list[float], scale: float
) -> None:
    counts = histogram.cumulative([bound * scale for bound in bounds])
    buckets = [(str(bound), float(count)) for bound, count in zip(bounds, counts, strict=True)]
    buckets.append(("+Inf", float(histogram.count)))
    family.add_metric(labels, buckets, histogram.sum / scale)
