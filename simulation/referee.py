"""The referee: watches what the engine does, fails the run at the first broken promise, and keeps the score."""

import math
from collections.abc import Collection

from services.common.lessons import FeedbackStatus
from services.common.names import ADAPTIVE_BATCH_SIZE
from services.common.records import Application
from services.common.selection_records import PredictionRecord
from services.query.engine.batching import LARGEST
from services.query.engine.engine import Engine
from services.query.engine.feedback import FeedbackRequest
from services.query.engine.requests import DefaultReason, Nobody, Query, Request
from services.query.engine.versions import Batch, Version
from simulation import replicas
from simulation.report import Report, Score

_MOST_IN_FLIGHT = 2
_MOST_ATTEMPTS = 2
_WITH_ERROR = (FeedbackStatus.UNAVAILABLE, FeedbackStatus.FAILED)
_MICROS = 1e-6


class Asked(Nobody):
    """What a client remembers of its request.

    Attributes:
        inputs: as submitted.
        images: what may evaluate them.
        score: where its answers count.
        is_open: whether it still waits.
    """

    __slots__ = ("images", "inputs", "is_open", "score")

    def __init__(self, inputs: list[bytes], images: Collection[str], score: Score) -> None:
        self.inputs = inputs
        self.images = images
        self.score = score
        self.is_open = True


class Referee:
    """Knows what every client asked and how many are still owed an answer."""

    def __init__(self, engine: Engine, most_late_s: float) -> None:
        """Takes the engine and by how much an answer may miss its deadline."""
        self.report = Report()
        self._engine = engine
        self._most_late_s = most_late_s
        self._open = 0
        self._keys: set[tuple[int, bytes]] = set()
        self._versions: set[Version] = set()
        self._unrecorded: dict[int, Query] = {}
        self._untaught: set[FeedbackRequest] = set()

    def submitted(self, request: Request, inputs: list[bytes]) -> None:
        """A client asks; it remembers that as the request's caller."""
        versions = _may_answer(request)
        score = self.report.of(request.route.application.name)
        score.asked += len(inputs)
        score.arrivals_s.extend([request.arrival_s] * len(inputs))
        request.caller = Asked(inputs, [version.record.container_name for version in versions], score)
        self._open += 1
        if self._engine.cache.enabled:
            self._keys.update((version.number, data) for version in versions for data in inputs)

    def cancelled(self, request: Request) -> None:
        """A client left; it must never hear of the request again."""
        asked = self._close(request)
        asked.score.cancelled += len(asked.inputs)

    def is_open(self, request: Request) -> bool:
        """Whether a client still waits."""
        return _asked(request).is_open

    def configured(self) -> None:
        """What is registered has changed."""
        self._versions.update(self._engine.versions.values())

    def sent(self, batch: Batch) -> None:
        """The engine sent a batch."""
        replica, size = batch.replica, len(batch.tasks)
        self.report.batch_sizes[size] += 1
        assert 0 < size <= LARGEST
        version = batch.tasks[0].version
        assert version.record.batch_size == ADAPTIVE_BATCH_SIZE or size <= version.record.batch_size
        assert version.record.key == replica.record.version_key
        assert len(replica.in_flight) <= _MOST_IN_FLIGHT
        assert len(set(batch.tasks)) == size
        for task in batch.tasks:
            assert task.version is version
            assert task.attempts <= _MOST_ATTEMPTS
            assert task.waiters, "a task is sent for which nobody waits"
            for query in task.waiters:
                assert not query.answered

    def finished(self, request: Request, now_s: float) -> None:
        """The engine finished a request: once, in time, and with the answers to its own inputs."""
        asked = self._close(request)
        assert now_s <= request.deadline_s + self._most_late_s, "an answer is late"
        asked.score.latencies_s.append(now_s - request.arrival_s)
        if request.selection is not None:
            numbers = range(request.first_query_id, request.first_query_id + len(request.queries))
            self._unrecorded.update(zip(numbers, request.queries, strict=True))
        for query, data in zip(request.queries, asked.inputs, strict=True):
            assert query.answered
            if query.reason:
                asked.score.defaults[query.reason] += 1
                self._check_default(request, query, data)
            else:
                asked.score.predicted += 1
                assert query.output in [replicas.output(image, data) for image in asked.images]
                assert query.explanation == ""

    def turned_away(self, application: Application, inputs: int, arrival_s: float, now_s: float) -> None:
        """So many inputs that came at `arrival_s` were given up before the engine saw them."""
        due_s = arrival_s + application.latency_slo_micros * _MICROS
        assert now_s <= due_s + self._most_late_s, "a refusal is late"
        score = self.report.of(application.name)
        score.asked += inputs
        score.arrivals_s.extend([arrival_s] * inputs)
        score.latencies_s.append(now_s - arrival_s)
        score.defaults[DefaultReason.FRONT_OVERLOADED] += inputs

    def predicted(self, prediction: PredictionRecord) -> None:
        """The engine reports what was chosen for a query that it has just answered: once, and as it was answered."""
        query = self._unrecorded.pop(prediction.query_id)
        assert (prediction.output, prediction.is_default) == (query.output, bool(query.reason))
        assert set(prediction.outputs) <= set(prediction.chosen)
        assert 0.0 < prediction.probability <= 1.0
        assert prediction.is_default or prediction.output in prediction.outputs.values()

    def told(self, request: FeedbackRequest) -> None:
        """A client gives feedback."""
        self._untaught.add(request)

    def taught(self, request: FeedbackRequest) -> None:
        """The engine tells what became of feedback: once, and of each item."""
        self._untaught.remove(request)
        for feedback in request.feedback:
            assert feedback.status is not None
            assert (feedback.error is None) == (feedback.status not in _WITH_ERROR)
            assert feedback.status is FeedbackStatus.LEARNED or not feedback.losses
            assert all(0.0 <= loss <= 1.0 for loss in feedback.losses.values())

    def ended(self) -> None:
        """Nothing will happen any more, so nothing may be left."""
        assert not self._unrecorded, "predictions were made of which nobody was told"
        assert not self._untaught, "feedback was given of which nobody heard again"
        assert self._open == 0, f"{self._open} requests were never answered"
        assert self._engine.wake_at_s == math.inf
        assert not self._engine.has_undispatched
        for version in self._versions:
            assert len(version.queue) == 0
            assert not any(replica.in_flight for replica in version.replicas)
        assert not any(self._engine.cache.flight(key) for key in self._keys)

    def _close(self, request: Request) -> Asked:
        asked = _asked(request)
        assert asked.is_open, "a request is answered twice, or after its client has gone"
        asked.is_open = False
        self._open -= 1
        return asked

    def _check_default(self, request: Request, query: Query, data: bytes) -> None:
        assert query.output == request.route.application.default_output
        assert query.explanation
        assert query.reason is not DefaultReason.MODEL_ERROR or query.explanation == replicas.failure(data)


def _may_answer(request: Request) -> list[Version]:
    if request.route.selector is not None:
        return list(request.route.versions.values())
    return [] if request.version is None else [request.version]


def _asked(request: Request) -> Asked:
    assert isinstance(request.caller, Asked)
    return request.caller
