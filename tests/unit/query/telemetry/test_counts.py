"""The counts of several processes as those of one service."""

import pickle
from dataclasses import replace

from services.query.engine.requests import DefaultReason
from services.query.telemetry.counts import ApplicationCounts, Counts, VersionCounts
from services.query.telemetry.exposition import CountsCollector, as_json

_NOW_S = 100.0


def _counts(answers: int, **defaults: int) -> Counts:
    """What a process has counted that answered "app" and had model "m:1" compute all of it."""
    application, version = ApplicationCounts(0.0), VersionCounts(0.0)
    application.throughput.mark(answers, 1.0)
    application.defaults.update({DefaultReason[name]: count for name, count in defaults.items()})
    version.throughput.mark(answers, 1.0)
    version.cache_lookups, version.cache_hits = 4 * answers, answers
    for _ in range(answers):
        application.latency_micros.record(1e3 * answers)
        version.batch_size.record(answers)
    empty = Counts.total([], 0.0)
    return replace(
        empty,
        applications={"app": application},
        versions={"m:1": version},
        cache_lookups=40,
        cache_hits=10,
        cache_bytes=1000,
    )


def _values(group: str, counts: Counts) -> dict[str, object]:
    return {name: value for entry in as_json(counts, _NOW_S)[group] for name, value in entry.items()}


def test_a_total_adds_up_by_name() -> None:
    other = _counts(5, NO_REPLICA=3, QUEUE_FULL=1)
    other.applications["other"] = other.applications["app"]
    total = Counts.total([_counts(2, NO_REPLICA=1), other, Counts.total([], _NOW_S)], _NOW_S)
    assert total.applications["app"].throughput.count == 7
    assert total.applications["app"].defaults == {DefaultReason.NO_REPLICA: 4, DefaultReason.QUEUE_FULL: 1}
    assert total.applications["other"].throughput.count == 5
    assert (total.cache_lookups, total.cache_hits, total.cache_bytes) == (80, 20, 2000)
    assert total.versions["m:1"].batch_size.sum == 2 * 2 + 5 * 5


def test_ratios_and_quantiles_of_a_total_are_those_of_all_that_was_counted() -> None:
    total = Counts.total([_counts(1, NO_REPLICA=1), _counts(9)], _NOW_S)
    assert _values("ratio_counters", total)["app:app:default_prediction_ratio"] == {"ratio": 0.1}
    assert _values("ratio_counters", total)["model:m:1:cache_hit_ratio"] == {"ratio": 0.25}
    latency = _values("histograms", total)["app:app:prediction_latency"]
    assert isinstance(latency, dict)
    assert (latency["size"], latency["min"], latency["max"]) == (10, 1e3, 9e3)


def test_a_total_leaves_its_parts_alone() -> None:
    part = _counts(2)
    before = as_json(part, _NOW_S)
    Counts.total([part, _counts(3)], _NOW_S)
    assert as_json(part, _NOW_S) == before


def test_counts_are_the_same_on_the_other_end_of_a_pipe() -> None:
    counts = _counts(3, MODEL_ERROR=2)
    assert as_json(pickle.loads(pickle.dumps(counts)), _NOW_S) == as_json(counts, _NOW_S)


def test_what_all_processes_meet_is_not_added_up() -> None:
    parts = [replace(_counts(1), quarantined=held) for held in ({}, {"applications": 2}, {"applications": 1, "x": 1})]
    total = Counts.total(parts, _NOW_S)
    assert total.quarantined == {"applications": 2, "x": 1}
    assert _values("counters", total)["internal:num_quarantined"] == {"count": 3}
    samples = {
        sample.labels["kind"]: sample.value
        for metric in CountsCollector(lambda: total).collect()
        for sample in metric.samples
        if sample.name == "clipper_quarantined"
    }
    kinds = ("applications", "model_versions", "current_versions", "replicas", "x")
    assert samples == dict.fromkeys(kinds, 0.0) | {"applications": 2.0, "x": 1.0}


def test_a_process_that_has_ended_leaves_its_counts_but_no_cache_and_no_configuration() -> None:
    left = replace(_counts(3), quarantined={"applications": 1}).of_the_past()
    assert (left.cache_bytes, left.cache_hits, left.quarantined) == (0, 10, {})
    samples = [sample for metric in CountsCollector(lambda: left).collect() for sample in metric.samples]
    assert next(sample.value for sample in samples if sample.name == "clipper_cache_bytes") == 0
