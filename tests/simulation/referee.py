"""The referee: watches what the engine does, fails the test at the first broken promise, and keeps the score."""

import math
from collections import Counter
from dataclasses import dataclass, field

from services.common.names import ADAPTIVE_BATCH_SIZE
from services.query.engine.engine import Engine
from services.query.engine.requests import DefaultReason, Request
from services.query.engine.versions import Batch, Version
from tests.simulation import replicas

_MOST_IN_FLIGHT = 2
_MOST_ATTEMPTS = 2
# The order of float operations may move a deadline by this much.
_ROUNDING_S = 1e-9


@dataclass
class Report:
    """What became of a simulation's queries.

    Attributes:
        asked: queries submitted.
        cancelled: queries whose client left before the answer.
        predicted: answers with a model's output.
        defaults, defaults_of: answers with the default output, by reason and by application.
        latencies_s: from submission to answer, a request each.
        batch_sizes: how many batches had which size.
        ends_s: when the last event happened.
    """

    asked: int = 0
    cancelled: int = 0
    predicted: int = 0
    defaults: Counter[DefaultReason] = field(default_factory=Counter)
    defaults_of: Counter[str] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)
    batch_sizes: Counter[int] = field(default_factory=Counter)
    ends_s: float = 0.0

    @property
    def goodput(self) -> float:
        """Predictions, not defaults, a second."""
        return self.predicted / self.ends_s

    def latency_s(self, share: float) -> float:
        """The latency within which `share` (0 to 1) of the requests were answered."""
        return sorted(self.latencies_s)[max(0, math.ceil(share * len(self.latencies_s)) - 1)]

    def __str__(self) -> str:
        batches = self.batch_sizes.total()
        mean_size = sum(size * count for size, count in self.batch_sizes.items()) / max(1, batches)
        defaults = ", ".join(f"{count} {reason.name}" for reason, count in self.defaults.most_common())
        return (
            f"{self.asked} queries, {self.cancelled} cancelled, goodput {self.goodput:.0f}/s, "
            f"p50 {self.latency_s(0.5) * 1e3:.1f} ms, p99 {self.latency_s(0.99) * 1e3:.1f} ms, "
            f"{batches} batches of {mean_size:.1f}; defaults: {defaults or 'none'}"
        )


@dataclass(frozen=True)
class Asked:
    """What a client remembers of its request.

    Attributes:
        inputs: as submitted.
        image: what is to evaluate them; None when nothing can.
    """

    inputs: list[bytes]
    image: str | None


class Referee:
    """Knows what every client asked and whom it still owes an answer."""

    def __init__(self, engine: Engine) -> None:
        self.report = Report()
        self._engine = engine
        self._open: dict[Request, Asked] = {}
        self._keys: set[tuple[int, bytes]] = set()
        self._versions: set[Version] = set()

    def submitted(self, request: Request, asked: Asked) -> None:
        """A client asked."""
        self.report.asked += len(asked.inputs)
        self._open[request] = asked
        if request.version is not None:
            self._versions.add(request.version)
            self._keys.update((request.version.number, data) for data in asked.inputs)

    def cancelled(self, request: Request) -> None:
        """A client left; it must never hear of the request again."""
        self.report.cancelled += len(self._open.pop(request).inputs)

    def is_open(self, request: Request) -> bool:
        """Whether a client still waits."""
        return request in self._open

    def sent(self, batch: Batch) -> None:
        """The engine sent a batch."""
        replica, size = batch.replica, len(batch.tasks)
        self.report.batch_sizes[size] += 1
        assert 0 < size <= replica.batching.limit
        registered = batch.tasks[0].version.record.batch_size
        assert registered == ADAPTIVE_BATCH_SIZE or size <= registered
        assert len(replica.in_flight) <= _MOST_IN_FLIGHT
        assert len(set(batch.tasks)) == size
        for task in batch.tasks:
            assert task.waiters, "a task is sent for which nobody waits"
            assert not any(query.answered for query in task.waiters)
            assert task.attempts <= _MOST_ATTEMPTS
            assert task.version.record.key == replica.record.version_key

    def finished(self, request: Request, now_s: float) -> None:
        """The engine finished a request: once, in time, and with the answers to its own inputs."""
        asked = self._open.pop(request)
        assert now_s <= request.deadline_s + _ROUNDING_S, "an answer is late"
        self.report.latencies_s.append(now_s - request.arrival_s)
        for query, data in zip(request.queries, asked.inputs, strict=True):
            assert query.answered
            if query.reason:
                self.report.defaults[query.reason] += 1
                self.report.defaults_of[request.route.application.name] += 1
                assert query.output == request.route.application.default_output
                assert query.explanation
                assert query.reason is not DefaultReason.MODEL_ERROR or query.explanation == replicas.failure(data)
            else:
                self.report.predicted += 1
                assert asked.image is not None
                assert query.output == replicas.output(asked.image, data)
                assert query.explanation == ""

    def ended(self, now_s: float) -> None:
        """Nothing will happen any more, so nothing may be left."""
        self.report.ends_s = now_s
        assert not self._open, f"{len(self._open)} requests were never answered"
        assert self._engine.wake_at_s == math.inf
        assert not self._engine.has_undispatched
        for version in self._versions | set(self._engine.versions.values()):
            assert len(version.queue) == 0
            assert not any(replica.in_flight for replica in version.replicas)
        assert not any(self._engine.cache.flight(key) for key in self._keys)
