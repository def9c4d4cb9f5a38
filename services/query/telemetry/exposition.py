"""How counts are shown: as the JSON of `GET /metrics`, with the names that Clipper always used, and to Prometheus."""

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from services.common.metrics import Histogram, ratio
from services.common.records import Kind
from services.query.telemetry.counts import ApplicationCounts, Counts, VersionCounts
from services.query.telemetry.selection_counts import SelectionCounts

_MICROS = 1e6
_LATENCY_BOUNDS_S = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0]
_BATCH_BOUNDS = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0]


def as_json(counts: Counts, now_s: float) -> dict[str, list[dict[str, object]]]:
    """The document of `GET /metrics`."""
    hit_ratio = ratio(counts.cache_hits, counts.cache_lookups)
    counters: dict[str, object] = {"internal:prediction_cache_lookups": {"count": counts.cache_lookups}}
    ratios: dict[str, object] = {"internal:prediction_cache_hit_ratio": {"ratio": hit_ratio}}
    meters: dict[str, object] = {"internal:aggregate_model_throughput": counts.throughput.as_json(now_s)}
    histograms: dict[str, object] = {
        "internal:rpc_request_queueing_delay": counts.queueing_micros.as_json("microseconds"),
        "internal:loop_lag": counts.lag_micros.as_json("microseconds"),
    }
    for name, application in counts.applications.items():
        defaults = application.defaults.total()
        counters[f"app:{name}:num_predictions"] = {"count": application.throughput.count}
        for reason, count in list(application.defaults.items()):
            counters[f"app:{name}:num_default_predictions:{reason.name.lower()}"] = {"count": count}
        ratios[f"app:{name}:default_prediction_ratio"] = {"ratio": ratio(defaults, application.throughput.count)}
        meters[f"app:{name}:prediction_throughput"] = application.throughput.as_json(now_s)
        histograms[f"app:{name}:prediction_latency"] = application.latency_micros.as_json("microseconds")
    for key, version in counts.versions.items():
        ratios[f"model:{key}:cache_hit_ratio"] = {"ratio": ratio(version.cache_hits, version.cache_lookups)}
        counters[f"model:{key}:num_predictions"] = {"count": version.throughput.count}
        meters[f"model:{key}:prediction_throughput"] = version.throughput.as_json(now_s)
        histograms[f"model:{key}:prediction_latency"] = version.latency_micros.as_json("microseconds")
        histograms[f"model:{key}:batch_size"] = version.batch_size.as_json("queries")
    for name, selection in counts.selections.items():
        _add_selection(f"app:{name}", selection, counters, ratios)
    counters["internal:num_unrecorded_predictions"] = {"count": counts.unrecorded}
    counters["internal:store_refused"] = {"count": int(counts.refuses_store)}
    counters["internal:num_unreadable_changes"] = {"count": counts.unreadable_changes}
    counters["internal:num_quarantined"] = {"count": sum(counts.quarantined.values())}
    for kind, count in counts.quarantined.items():
        counters[f"internal:num_quarantined:{kind}"] = {"count": count}
    counters["internal:aggregate_num_predictions"] = {
        "count": sum(application.throughput.count for application in counts.applications.values())
    }
    groups = {"counters": counters, "ratio_counters": ratios, "meters": meters, "histograms": histograms}
    return {group: [{name: value} for name, value in sorted(named.items())] for group, named in groups.items()}


def _add_selection(
    prefix: str, selection: SelectionCounts, counters: dict[str, object], ratios: dict[str, object]
) -> None:
    for status, count in list(selection.feedbacks.items()):
        counters[f"{prefix}:num_feedbacks:{status}"] = {"count": count}
    counters[f"{prefix}:num_forgotten_predictions"] = {"count": selection.forgotten}
    counters[f"{prefix}:regret"] = {"count": selection.regret}
    for model, arm in list(selection.arms.items()):
        counters[f"{prefix}:arm:{model}:num_selections"] = {"count": arm.selections}
        counters[f"{prefix}:arm:{model}:num_feedbacks"] = {"count": arm.feedbacks}
        counters[f"{prefix}:arm:{model}:sum_rewards"] = {"count": arm.rewards}
        ratios[f"{prefix}:arm:{model}:mean_reward"] = {"ratio": arm.mean_reward}
    for model, weight in selection.weights.items():
        ratios[f"{prefix}:arm:{model}:weight"] = {"ratio": weight}


class CountsCollector(Collector):
    """The Prometheus samples of the counts that `read` returns at each scrape."""

    def __init__(self, read: Callable[[], Counts]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """Reads the counts and yields a metric family for each of theirs."""
        counts = self._read()
        yield from _of_applications(counts.applications)
        yield from _of_versions(counts.versions)
        yield from _of_selections(counts.selections)
        yield CounterMetricFamily("clipper_cache_lookups", "Lookups in the cache.", value=counts.cache_lookups)
        yield CounterMetricFamily("clipper_cache_hits", "Predictions answered from the cache.", value=counts.cache_hits)
        yield GaugeMetricFamily("clipper_cache_bytes", "What the cache takes.", value=counts.cache_bytes)
        yield _lag(counts.lag_micros)
        yield CounterMetricFamily(
            "clipper_unrecorded_predictions",
            "Predictions that no feedback can be joined with, as Redis was away for too long.",
            value=counts.unrecorded,
        )
        yield GaugeMetricFamily(
            "clipper_store_refused",
            "1 while Redis holds another store than the one that was followed; what was known stays in force.",
            value=int(counts.refuses_store),
        )
        yield CounterMetricFamily(
            "clipper_unreadable_changes",
            "Changes of the configuration that could not be read, counted by each process.",
            value=counts.unreadable_changes,
        )
        quarantined = GaugeMetricFamily(
            "clipper_quarantined",
            "Records and selection policies that are left out, as they cannot be read or used.",
            labels=["kind"],
        )
        for kind in sorted({*Kind, *counts.quarantined}):
            quarantined.add_metric([kind], counts.quarantined.get(kind, 0))
        yield quarantined


def _lag(lag_micros: Histogram) -> HistogramMetricFamily:
    lag = HistogramMetricFamily(
        "clipper_loop_lag_seconds", "How long what arrives may wait until the thread that serves calls takes it."
    )
    _add_histogram(lag, [], lag_micros, _LATENCY_BOUNDS_S, _MICROS)
    return lag


def _of_applications(applications: dict[str, ApplicationCounts]) -> Iterator[Metric]:
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
    for name, application in applications.items():
        answers.add_metric([name], application.throughput.count)
        for reason, count in list(application.defaults.items()):
            defaults.add_metric([name, reason.name.lower()], count)
        _add_histogram(latency, [name], application.latency_micros, _LATENCY_BOUNDS_S, _MICROS)
    yield from (answers, defaults, latency)


def _of_versions(versions: dict[str, VersionCounts]) -> Iterator[Metric]:
    labels = ["model", "version"]
    predictions = CounterMetricFamily("clipper_model_predictions", "Inputs evaluated.", labels=labels)
    sizes = HistogramMetricFamily("clipper_model_batch_size", "Inputs in a batch.", labels=labels)
    latency = HistogramMetricFamily(
        "clipper_model_latency_seconds",
        "How long a replica was busy with a batch, transfer included.",
        labels=labels,
    )
    for key, version in versions.items():
        names = key.split(":", 1)
        predictions.add_metric(names, version.throughput.count)
        _add_histogram(sizes, names, version.batch_size, _BATCH_BOUNDS, 1.0)
        _add_histogram(latency, names, version.latency_micros, _LATENCY_BOUNDS_S, _MICROS)
    yield from (predictions, sizes, latency)


def _of_selections(selections: dict[str, SelectionCounts]) -> Iterator[Metric]:
    feedbacks = CounterMetricFamily(
        "clipper_feedbacks", "Feedback, by what became of it.", labels=["application", "status"]
    )
    forgotten = CounterMetricFamily(
        "clipper_forgotten_predictions",
        "Predictions that made way for newer ones though their feedback could still have come.",
        labels=["application"],
    )
    regret = GaugeMetricFamily(
        "clipper_selection_regret",
        "What the best model alone would have earned more in rewards, estimated.",
        labels=["application"],
    )
    labels = ["application", "model"]
    asked = CounterMetricFamily("clipper_arm_selections", "Queries that a model was asked.", labels=labels)
    judged = CounterMetricFamily("clipper_arm_feedbacks", "Outputs that feedback was given on.", labels=labels)
    rewards = CounterMetricFamily("clipper_arm_rewards", "The sum of their rewards, from 0 to 1.", labels=labels)
    weights = GaugeMetricFamily(
        "clipper_arm_weight", "How much the policy relies on a model where there is no context.", labels=labels
    )
    for name, selection in selections.items():
        for status, count in list(selection.feedbacks.items()):
            feedbacks.add_metric([name, status], count)
        forgotten.add_metric([name], selection.forgotten)
        regret.add_metric([name], selection.regret)
        for model, arm in list(selection.arms.items()):
            asked.add_metric([name, model], arm.selections)
            judged.add_metric([name, model], arm.feedbacks)
            rewards.add_metric([name, model], arm.rewards)
        for model, weight in selection.weights.items():
            weights.add_metric([name, model], weight)
    yield from (feedbacks, forgotten, regret, asked, judged, rewards, weights)


def _add_histogram(
    family: HistogramMetricFamily, labels: list[str], histogram: Histogram, bounds: list[float], scale: float
) -> None:
    counts = histogram.cumulative([bound * scale for bound in bounds])
    buckets = [(str(bound), float(count)) for bound, count in zip(bounds, counts, strict=True)]
    buckets.append(("+Inf", float(histogram.count)))
    family.add_metric(labels, buckets, histogram.sum / scale)
