"""How a query that waits gets its answer: the model's output, or the default output and why."""

from services.query.engine.cache import PredictionCache
from services.query.engine.effects import Outbox
from services.query.engine.queue import Lane
from services.query.engine.requests import EXPLANATIONS, DefaultReason, Query, Request, Task
from services.query.engine.versions import Batch


class Answers:
    """Takes queries and tasks through their lives; a request whose last query is answered is finished.

    Args:
        cache: filled.
        outbox: takes finished requests.
    """

    def __init__(self, cache: PredictionCache, outbox: Outbox) -> None:
        self._cache = cache
        self._outbox = outbox

    def leave(self, query: Query) -> None:
        """Has a query wait for its task no longer."""
        task, query.task = query.task, None
        if task is None:
            return
        task.waiters.remove(query)
        if not task.waiters and task.batch is None and task.flight is not None:
            # Nobody will compute it now, so nobody may join it. A task that is being computed flies on for the cache.
            self._cache.abandon(task.flight)
            task.flight = None

    def resolve(self, task: Task, output: str, batch: Batch, model_s: float, now_s: float) -> None:
        """Answers all who wait for a task with the model's output."""
        if task.flight is not None:
            self._cache.land(task.flight, output, now_s)
            task.flight = None
        waiters, task.waiters = task.waiters, []
        for query in waiters:
            if query.request.explain:
                query.spent = batch.spent(query.request.arrival_s, model_s, now_s)
            self.answer(query, output)

    def retry(self, task: Task) -> None:
        """Queues a task whose replica was lost once more, if that makes sense."""
        version = task.version
        if task.waiters and task.may_be_sent and not version.hopeless:
            version.queue.push(task, task.application, task.due_s)
        else:
            self.give_up(task, DefaultReason.REPLICA_LOST)

    def try_elsewhere(self, task: Task) -> None:
        """Queues a task that is stuck once more, if that makes sense; whoever answers it first counts."""
        if task.waiters and not task.version.hopeless:
            task.queue_for(min(task.waiters, key=_deadline_s))

    def give_up(self, task: Task, reason: DefaultReason, explanation: str = "") -> None:
        """Answers all who wait for a task with their default outputs."""
        if task.flight is not None:
            self._cache.abandon(task.flight)
            task.flight = None
        waiters, task.waiters = task.waiters, []
        for query in waiters:
            self.default(query, reason, explanation)

    def give_up_late(self, tasks: list[Task], lane: Lane, next_due_s: float) -> None:
        """Gives up the head of a lane, for those who cannot wait until the next in it is due.

        What is stuck at a replica may still be answered by that.
        """
        for task in tasks:
            if not task.may_be_sent:
                continue
            name = lane.application.name
            own = [query for query in task.waiters if query.request.route.application.name == name]
            patient = [query for query in own if query.request.deadline_s >= next_due_s]
            for query in own:
                if query.request.deadline_s < next_due_s and task.batch is None:
                    self.leave(query)
                    self.default(query, DefaultReason.DEADLINE_UNREACHABLE)
            if patient:
                task.queue_for(min(patient, key=_deadline_s))

    def finish_late(self, request: Request) -> None:
        """Answers what is left of a request, whose deadline has come."""
        for query in request.queries:
            if not query.answered:
                computing = query.task is not None and query.task.batch is not None
                self.leave(query)
                self.default(query, DefaultReason.DEADLINE_IN_MODEL if computing else DefaultReason.DEADLINE_IN_QUEUE)

    def default(self, query: Query, reason: DefaultReason, explanation: str = "") -> None:
        """Answers a query with the default output."""
        query.reason = reason
        query.explanation = explanation or EXPLANATIONS[reason]
        self.answer(query, query.request.route.application.default_output)

    def answer(self, query: Query, output: str) -> None:
        """Answers a query."""
        query.output = output
        query.answered = True
        query.task = None
        query.input = b""
        request = query.request
        # The way back would make every request a cycle that only the garbage collector can free.
        del query.request
        request.unanswered -= 1
        if request.unanswered == 0:
            if request.selection is None:
                self._outbox.effects.finished.append(request)
            else:
                request.selection.settle(request)


def _deadline_s(query: Query) -> float:
    return query.request.deadline_s
