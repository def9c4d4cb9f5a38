"""What is asked of the engine: a request holds queries, a query waits for a task, a task is an input for a version."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.query.engine.choosing.selected import Selection
    from services.query.engine.versions import Batch, Route, Version


# A second loss says more about the input than about the replicas.
_MOST_ATTEMPTS = 2


class DefaultReason(IntEnum):
    """Why an answer is the application's default output; the numbers are those of `clipper.v1.DefaultReason`."""

    NONE = 0
    NO_REPLICA = 1
    QUEUE_FULL = 2
    DEADLINE_IN_QUEUE = 3
    DEADLINE_IN_MODEL = 4
    MODEL_ERROR = 5
    REPLICA_LOST = 6
    DEADLINE_UNREACHABLE = 7
    LOW_CONFIDENCE = 8
    FRONT_OVERLOADED = 9


EXPLANATIONS = {
    DefaultReason.NO_REPLICA: "No connected models found for query",
    DefaultReason.QUEUE_FULL: "The model's queue is full",
    DefaultReason.DEADLINE_IN_QUEUE: (
        "Failed to retrieve a prediction response within the specified latency SLO: the query was still in the queue"
    ),
    DefaultReason.DEADLINE_IN_MODEL: (
        "Failed to retrieve a prediction response within the specified latency SLO: the model was still computing"
    ),
    DefaultReason.REPLICA_LOST: "The replica that was computing the prediction died",
    DefaultReason.DEADLINE_UNREACHABLE: (
        "Failed to retrieve a prediction response within the specified latency SLO: the query was given up early"
    ),
    DefaultReason.LOW_CONFIDENCE: "The models agree less than the application's confidence threshold asks for",
    DefaultReason.FRONT_OVERLOADED: "The query service is overloaded",
}


class Spent(NamedTuple):
    """Where the time of a prediction went.

    Attributes:
        cached: whether it came from the prediction cache; then the rest is 0.
        queue_s: seconds from the query's arrival until its task left for a replica.
        batch_size: inputs in the batch.
        model_s: seconds in the model's code, as the replica tells.
        network_s: seconds that the batch was under way or waited at the replica.
    """

    cached: bool
    queue_s: float
    batch_size: int
    model_s: float
    network_s: float


class Request:
    """One call of a client: queries that share an application and a deadline, and are answered together.

    Attributes:
        route: the application as it was when the request came.
        version: the model version asked for; None when there is none to ask or a selection policy chooses.
        first_query_id: the id of the first query; the others count up from it.
        arrival_s, deadline_s: on the engine's clock.
        submitted_s: when the engine was given it.
        explain: whether the client wants to know where the time went.
        forbid_default: whether the client wants an error rather than a default output.
        queries: one an input.
        unanswered: how many of them have no answer yet.
        caller: whatever the caller needs to deliver the answers; the engine does not look at it.
        context: on whose behalf a selection policy chooses; empty for nobody in particular.
        selection: what it chose; None where none chooses, and until it has chosen.
    """

    __slots__ = (
        "arrival_s",
        "caller",
        "context",
        "deadline_s",
        "explain",
        "first_query_id",
        "forbid_default",
        "queries",
        "route",
        "selection",
        "submitted_s",
        "unanswered",
        "version",
    )

    def __init__(
        self,
        route: Route,
        version: Version | None,
        inputs: Sequence[bytes],
        first_query_id: int,
        arrival_s: float,
        deadline_s: float,
        caller: object,
        context: str = "",
        *,
        explain: bool = False,
        forbid_default: bool = False,
    ) -> None:
        self.explain = explain
        self.forbid_default = forbid_default
        self.route = route
        self.version = version
        self.first_query_id = first_query_id
        self.arrival_s = arrival_s
        self.deadline_s = deadline_s
        self.submitted_s = arrival_s
        self.queries = [Query(self, data) for data in inputs]
        self.unanswered = len(self.queries)
        self.caller = caller
        self.context = context
        self.selection: Selection | None = None


class Query:
    """One input and, once `answered`, its answer.

    Attributes:
        request: the request that it belongs to, until it is answered or the request is cancelled.
        input: the packed input; dropped with the answer.
        task: the task that it waits for.
        answered: whether the answer is final.
        output: the model's output or the application's default output.
        reason: why `output` is the default; NONE when it is not.
        explanation: the reason in words; empty when `output` is the model's.
        spent: where the time went; None unless the request asked for it and a model's output was had.
    """

    __slots__ = ("answered", "explanation", "input", "output", "reason", "request", "spent", "task")

    def __init__(self, request: Request, data: bytes) -> None:
        self.request = request
        self.input = data
        self.task: Task | None = None
        self.answered = False
        self.output = ""
        self.reason = DefaultReason.NONE
        self.explanation = ""
        self.spent: Spent | None = None


class Task:
    """One input to be evaluated by one model version, for every query that waits for just that.

    Attributes:
        version: the version that is to evaluate it.
        input: the packed input.
        arrival_s: when its first waiter came.
        deadline_s: the latest deadline of its waiters; after it nobody waits any more.
        application, due_s: on whose behalf it was put into the queue last, and by when that application wants it.
        waiters: the queries to answer; empty once all have gone.
        batch: the batch that it was sent with last; None while it waits for a replica.
        attempts: how many batches it has been part of.
        flight: its key in the cache while other queries may join it; None when they cannot.
    """

    __slots__ = (
        "application",
        "arrival_s",
        "attempts",
        "batch",
        "deadline_s",
        "due_s",
        "flight",
        "input",
        "version",
        "waiters",
    )

    def __init__(self, version: Version, data: bytes, query: Query, flight: tuple[int, bytes] | None) -> None:
        self.version = version
        self.input = data
        self.arrival_s = query.request.arrival_s
        self.deadline_s = self.due_s = query.request.deadline_s
        self.application = query.request.route.application
        self.waiters = [query]
        self.batch: Batch | None = None
        self.attempts = 0
        self.flight = flight

    @property
    def is_stuck(self) -> bool:
        """Whether the replica that has it has kept it for too long."""
        return self.batch is not None and self.batch.overdue

    @property
    def may_be_sent(self) -> bool:
        """Whether no replica has it, or one that keeps it for too long, and it was not tried too often."""
        return (self.batch is None or self.batch.overdue) and self.attempts < _MOST_ATTEMPTS

    def join(self, query: Query) -> None:
        """Lets one more query wait for this task."""
        self.waiters.append(query)
        if query.request.deadline_s > self.deadline_s:
            self.deadline_s = query.request.deadline_s
