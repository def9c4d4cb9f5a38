"""A cluster under the same load for a long time: whether its memory stays as it is, and what clients get meanwhile.

Each query service is held to a part of a processor, and asked for a share of what it can do with that. So the load is
the same from start to end, whatever else the machine does, and leaves most of it to that.
"""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import numpy as np

from bench.rig.bench import Bench
from bench.rig.cluster import Cluster, running_cluster
from bench.rig.cores import limited
from bench.rig.errors import BenchmarkError
from bench.rig.jobs import Generator, Job, Outcome
from bench.rig.models import Images, Model
from bench.rig.questions import question, write
from bench.rig.report import Check, Finding
from bench.studies.soak.companions import Teacher, Watcher
from bench.studies.soak.readings import STORE, Reading, readable
from bench.studies.soak.series import MOST_SHARE_AN_HOUR as _MOST_SHARE_AN_HOUR
from bench.studies.soak.series import Series, Slope

_SECONDS = 1_800.0
_CPUS = 0.2
_SHARE = 0.7
_PART_S = 10.0
_SEARCH_S = 4.0
_OUTSTANDING = (8, 32, 128)
# What many calls outstanding bring, calls at random times do not: it is sought downwards from there, in such steps.
_STEPS = 10
_IN_TIME = 0.99
# Until then pools, caches and pages are still being filled.
_SETTLING_SHARE = 0.3
_MOMENTS = 5
_CLUSTER = "bench-soak"
_QUERY_SERVICES = _REPLICAS = 2
# Small, so that it is full before memory is watched.
_CACHE_BYTES = 1 << 18
_SLO_S = 0.1
_LEARNER = "learner"
_LEARNER_SLO_S = 1.0
# Nor does the store remember more predictions and users after this than before.
_REMEMBERED_S = 20
# The events of an application that learns, 600 bytes each, and room. It takes longer than a soak to have all of them.
_EVENTS = 50_000
_MOST_STORE_MEBIBYTES = 64
_QUESTIONS = 256
_PIXELS = 784
_SEED = 0
_MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class Memory:
    """Of a process.

    Attributes:
        name: the process.
        mebibytes: at each of the moments.
        slope: how it rises once it has settled.
    """

    name: str
    mebibytes: Sequence[float]
    slope: Slope

    @property
    def rises(self) -> tuple[float, float]:
        """By how many MiB an hour, and by how many more or less that may be."""
        return self.slope.bytes_an_hour / _MEBIBYTE, self.slope.uncertainty / _MEBIBYTE


@dataclass(frozen=True, slots=True)
class Soak(Finding):
    """What was found.

    Attributes:
        capacity: predictions a second, of which hardly any is late.
        outcomes: what came of the load, in parts one after the other.
        taught: how exchanges with the application that learns ended; "" for those that went well.
        readings: of the cluster, oldest first.
    """

    capacity: float
    outcomes: Sequence[Outcome]
    taught: Mapping[str, int]
    readings: Sequence[Reading]

    def checks(self) -> list[Check]:
        """That no process surely grows, and the store no further than it may."""
        *_, store = (reading.memory[STORE] / _MEBIBYTE for reading in self.readings)
        what = "share of its memory that it surely grows by in an hour"
        growth = [
            Check(f"{each.name}: {what}", each.slope.surely, most=_MOST_SHARE_AN_HOUR)
            for each in self.memory
            if each.name != STORE
        ]
        return [*growth, Check(f"{STORE}: MiB in the end", store, most=_MOST_STORE_MEBIBYTES)]

    @property
    def memory(self) -> list[Memory]:
        """Of each process."""
        return [
            Memory(name, [each.memory[name] / _MEBIBYTE for each in self._moments], self._slope(name))
            for name in self.readings[0].memory
        ]

    @property
    def disk(self) -> list[tuple[str, list[float]]]:
        """What takes room there, and how many MiB at each of the moments."""
        return [
            ("logs", [each.log_bytes / _MEBIBYTE for each in self._moments]),
            ("store", [each.store_bytes / _MEBIBYTE for each in self._moments]),
        ]

    @property
    def minutes(self) -> list[float]:
        return [(each.time_s - self.readings[0].time_s) / 60 for each in self._moments]

    @property
    def rate(self) -> float:
        """Predictions a second that were asked for all the time."""
        return _SHARE * self.capacity

    @property
    def asked(self) -> int:
        """Predictions that were asked for."""
        return sum(outcome.asked for outcome in self.outcomes)

    @property
    def defaults(self) -> str:
        """Default outputs by reason, in words."""
        reasons = sum((Counter(outcome.defaults) for outcome in self.outcomes), Counter[str]())
        return ", ".join(f"{count:,} {reason}" for reason, count in sorted(reasons.items())) or "none"

    @property
    def longest_s(self) -> float:
        """The time of the latest answer."""
        return max(outcome.longest_s for outcome in self.outcomes)

    @property
    def worst_p99_s(self) -> float:
        """That of the part in which it was longest."""
        return max(outcome.p99_s for outcome in self.outcomes)

    @property
    def exchanges(self) -> int:
        """Predictions that were told how good they were."""
        return sum(self.taught.values())

    @property
    def failures(self) -> str:
        """What went wrong with these, in words."""
        return ", ".join(f"{count:,} × {end}" for end, count in self.taught.items() if end) or "none"

    @property
    def _moments(self) -> list[Reading]:
        last = len(self.readings) - 1
        return [self.readings[round(last * moment / (_MOMENTS - 1))] for moment in range(_MOMENTS)]

    def _slope(self, name: str) -> Slope:
        first_s, last_s = self.readings[0].time_s, self.readings[-1].time_s
        series = Series([each.time_s for each in self.readings], [each.memory[name] for each in self.readings])
        return series.since(first_s + _SETTLING_SHARE * (last_s - first_s)).slope()


def measure(bench: Bench) -> Soak:
    """Asks a cluster for a share of what it can take, and tells an application how good it was, for half an hour.

    Raises:
        BenchmarkError: a process died, an answer is wrong or missing, or limits cannot be set.
    """
    model = Model("sums", _sums)
    remembered = {"feedback_window_s": _REMEMBERED_S, "context_ttl_s": _REMEMBERED_S}
    logs = bench.build / "logs" / _CLUSTER
    with (
        running_cluster(_CLUSTER, logs, _QUERY_SERVICES, cache_size=_CACHE_BYTES) as cluster,
        cluster.serving(model, replicas=_REPLICAS),
        cluster.application(model.name, [model], _SLO_S, use_cache=False) as application,
        cluster.application(_LEARNER, [model], _LEARNER_SLO_S, "exp3", **remembered),
        _query_services_held_back(cluster),
    ):
        seconds = bench.seconds(_SECONDS)
        job = _job(bench, cluster, application, model)
        with Teacher(cluster.edge, _LEARNER) as teacher:
            capacity = _capacity(bench.generator, replace(job, seconds=min(_SEARCH_S, seconds)))
            with readable(cluster) as living, Watcher(living) as watcher:
                outcomes = _outcomes(bench.generator, replace(job, calls_per_s=_SHARE * capacity), seconds)
    return Soak(capacity, outcomes, dict(teacher.ends), watcher.readings)


@contextmanager
def _query_services_held_back(cluster: Cluster) -> Iterator[None]:
    with ExitStack() as stack:
        for service in cluster.query_services:
            for pid in service.pids:
                stack.enter_context(limited(pid, _CPUS))
        yield


def _job(bench: Bench, cluster: Cluster, application: str, model: Model) -> Job:
    """Calls of one input each, through the edge, as yet without a load."""
    images = np.random.default_rng(_SEED).random((_QUESTIONS, _PIXELS))
    asked = [question(application, image[np.newaxis], model.outputs(image[np.newaxis])) for image in images]
    return Job(cluster.edge, str(write(asked, bench.directory())), 1, _SLO_S, _PART_S)


def _capacity(generator: Generator, job: Job) -> float:
    """The highest rate at which hardly any prediction is late; BenchmarkError when there is none."""
    most = max(generator.run(replace(job, outstanding=calls)).good_per_s for calls in _OUTSTANDING)
    for step in range(_STEPS, 0, -1):
        rate = most * step / _STEPS
        if generator.run(replace(job, calls_per_s=rate)).good_share >= _IN_TIME:
            return rate
    raise BenchmarkError("predictions are late at any rate: is the machine busy?")


def _outcomes(generator: Generator, job: Job, seconds: float) -> list[Outcome]:
    """Does a job for so long, in parts, and says how far it is."""
    parts = max(1, round(seconds / _PART_S))
    outcomes = []
    for part in range(1, parts + 1):
        outcomes.append(generator.run(replace(job, seconds=seconds / parts)))
        minutes, share = part * seconds / parts / 60, outcomes[-1].good_share
        print(f"{minutes:.1f} min: {outcomes[-1].asked:,} asked, {share:.2%} in time", file=sys.stderr, flush=True)
    return outcomes


def _sums(images: Images) -> list[str]:
    return [str(round(float(image.sum()), 6)) for image in images]
