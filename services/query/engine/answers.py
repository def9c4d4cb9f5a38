"""How a query gets its answer: from the cache, from a task that it starts or joins, or as a default output."""

from services.query.engine.cache import PredictionCache
from services.query.engine.effects import Outbox
from services.query.engine.queue import Lane
from services.query.engine.requests import EXPLANATIONS, DefaultReason, Query, Request, Spent, Task
from services.query.engine.versions import Batch, Version


class Answers:
    """Takes queries and tasks through their lives; a request whose last query is answered is finished.

    Args:
        cache: asked first, and filled.
        outbox: takes finished requests.
    """

    def __init__(self, cache: PredictionCache, outbox: Outbox) -> None:
        self._cache = cache
        self._outbox = outbox

    def admit(self, query: Query, version: Version, now_s: float) -> None:
        """Answers a query at once or has it wait for the version."""
        route = query.request.route
        application = route.application
        key = None
        if self._cache.enabled and application.use_cache:
            key = (version.number, query.input)
            output = self._cache.output(key, now_s - route.cache_ttl_s)
            version.cache_lookups += 1
            if output is not None:
                version.cache_hits += 1
                if query.request.explain:
                    query.spent = Spent(True, 0.0, 0, 0.0, 0.0)
                self.answer(query, output)
                return
            flying = self._cache.flight(key)
            if flying is not None and not (version.hopeless and flying.is_stuck):
                self._join(flying, query)
                return
        if version.hopeless:
            self.default(query, DefaultReason.NO_REPLICA, version.why_hopeless)
        elif version.queue.is_full_for(application):
            self.default(query, DefaultReason.QUEUE_FULL)
        else:
            task = query.task = Task(version, query.input, query, key)
            if key is not None:
                self._cache.take_off(key, task)
            version.queue.push(task, application, task.due_s)

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
            self._queue(task, min(task.waiters, key=_deadline_s))

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
                self._queue(task, min(patient, key=_deadline_s))

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

    def _join(self, task: Task, query: Query) -> None:
        task.join(query)
        query.task = task
        request = query.request
        application = request.route.application
        # Its place in the queue may be that of somebody who can wait longer, or who has asked too much.
        another = application.name != task.application.name or request.deadline_s < task.due_s
        # Nobody has queued a stuck one for whom nobody waited.
        another = another or (task.is_stuck and len(task.waiters) == 1)
        if another and not task.version.queue.is_full_for(application):
            self._queue(task, query)

    def _queue(self, task: Task, query: Query) -> None:
        """Puts a task into the queue for the sake of one of its waiters."""
        if task.may_be_sent:
            task.application = query.request.route.application
            task.due_s = query.request.deadline_s
            task.version.queue.push(task, task.application, task.due_s)


def _deadline_s(query: Query) -> float:
    return query.request.deadline_s
