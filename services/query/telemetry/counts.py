"""What a query service has counted: answers and choices by application, batches by model version, the cache.

Each process counts for itself; the counts of a service of several processes are the sum of theirs.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Self, TypeVar

from services.common.metrics import Histogram, Meter
from services.query.engine.requests import DefaultReason
from services.query.telemetry.selection_counts import SelectionCounts

_Part = TypeVar("_Part")


class ApplicationCounts:
    """Counts of one application."""

    __slots__ = ("defaults", "latency_micros", "throughput")

    def __init__(self, now_s: float) -> None:
        self.latency_micros = Histogram()
        self.throughput = Meter(now_s)
        self.defaults: Counter[DefaultReason] = Counter()

    @classmethod
    def total(cls, parts: Sequence[Self], now_s: float) -> Self:
        """The sum of several processes' counts of the application."""
        total = cls(now_s)
        total.latency_micros = Histogram.total(part.latency_micros for part in parts)
        total.throughput = Meter.total((part.throughput for part in parts), now_s)
        for part in parts:
            total.defaults.update(part.defaults)
        return total


class VersionCounts:
    """Counts of one model version."""

    __slots__ = ("batch_size", "cache_hits", "cache_lookups", "latency_micros", "throughput")

    def __init__(self, now_s: float) -> None:
        self.batch_size = Histogram()
        self.latency_micros = Histogram()
        self.throughput = Meter(now_s)
        self.cache_lookups = 0
        self.cache_hits = 0

    @classmethod
    def total(cls, parts: Sequence[Self], now_s: float) -> Self:
        """The sum of several processes' counts of the version."""
        total = cls(now_s)
        total.batch_size = Histogram.total(part.batch_size for part in parts)
        total.latency_micros = Histogram.total(part.latency_micros for part in parts)
        total.throughput = Meter.total((part.throughput for part in parts), now_s)
        total.cache_lookups = sum(part.cache_lookups for part in parts)
        total.cache_hits = sum(part.cache_hits for part in parts)
        return total


@dataclass(frozen=True, slots=True)
class Counts:
    """All counts.

    Attributes:
        applications: by name.
        versions: by "model:version".
        selections: by name, of applications that choose among models or were given feedback.
        throughput: inputs that models evaluated.
        queueing_micros: how long they had waited.
        lag_micros: for how long what arrives may have waited until the front's thread took it.
        cache_lookups, cache_hits: how often a prediction was looked for in the cache, and found.
        cache_bytes: what the cache takes.
        unrecorded: predictions that no feedback can be joined with, as Redis was away for too long.
        quarantined: what of the configuration is left out now, by kind; all processes meet the same.
        unreadable_changes: how often a process met a change of the configuration that it could not read.
        refuses_store: whether Redis holds another store than the one that was followed.
    """

    applications: dict[str, ApplicationCounts]
    versions: dict[str, VersionCounts]
    selections: dict[str, SelectionCounts]
    throughput: Meter
    queueing_micros: Histogram
    lag_micros: Histogram
    cache_lookups: int
    cache_hits: int
    cache_bytes: int
    unrecorded: int
    quarantined: dict[str, int]
    unreadable_changes: int
    refuses_store: bool

    @classmethod
    def total(cls, parts: Sequence[Self], now_s: float) -> Self:
        """The sum of several processes' counts, at `now_s` of time.monotonic(), which all processes share."""
        return cls(
            applications=_by_key([part.applications for part in parts], partial(ApplicationCounts.total, now_s=now_s)),
            versions=_by_key([part.versions for part in parts], partial(VersionCounts.total, now_s=now_s)),
            selections=_by_key([part.selections for part in parts], SelectionCounts.total),
            throughput=Meter.total((part.throughput for part in parts), now_s),
            queueing_micros=Histogram.total(part.queueing_micros for part in parts),
            lag_micros=Histogram.total(part.lag_micros for part in parts),
            cache_lookups=sum(part.cache_lookups for part in parts),
            cache_hits=sum(part.cache_hits for part in parts),
            cache_bytes=sum(part.cache_bytes for part in parts),
            unrecorded=sum(part.unrecorded for part in parts),
            quarantined=_most_of_each([part.quarantined for part in parts]),
            unreadable_changes=sum(part.unreadable_changes for part in parts),
            refuses_store=any(part.refuses_store for part in parts),
        )

    def of_the_past(self) -> Self:
        """What is left of the counts when the process has ended, and its cache and its configuration with it."""
        return replace(self, cache_bytes=0, quarantined={}, refuses_store=False)


def _most_of_each(parts: Iterable[dict[str, int]]) -> dict[str, int]:
    most: Counter[str] = Counter()
    for part in parts:
        most |= Counter(part)
    return dict(most)


def _by_key(parts: Iterable[dict[str, _Part]], total: Callable[[Sequence[_Part]], _Part]) -> dict[str, _Part]:
    grouped: dict[str, list[_Part]] = {}
    for part in parts:
        for key, counts in part.items():
            grouped.setdefault(key, []).append(counts)
    return {key: total(counts) for key, counts in grouped.items()}
