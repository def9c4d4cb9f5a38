"""How queries enter: each is answered from the cache, or waits for a task, or gets its default output at once."""

from collections.abc import Sequence

from services.query.engine.answers import Answers
from services.query.engine.cache import PredictionCache
from services.query.engine.deadlines import Deadlines
from services.query.engine.dispatcher import Dispatcher
from services.query.engine.requests import DefaultReason, Query, Request, Spent, Task
from services.query.engine.versions import Version


class Intake:
    """Takes requests in.

    Args:
        cache: asked first.
        answers: takes what is answered at once.
        deadlines: takes the requests that wait.
        dispatcher: told whom they wait for.
    """

    def __init__(self, cache: PredictionCache, answers: Answers, deadlines: Deadlines, dispatcher: Dispatcher) -> None:
        self._cache = cache
        self._answers = answers
        self._deadlines = deadlines
        self._dispatcher = dispatcher

    def ask(self, request: Request, versions: Sequence[Version], now_s: float) -> None:
        """Answers each query of a request at once, or has it wait for the version at its place."""
        for query, version in zip(request.queries, versions, strict=True):
            self._admit(query, version, now_s)
        if request.unanswered:
            self._deadlines.add(request)
            for version in dict.fromkeys(versions):
                self._dispatcher.submitted(version)

    def _admit(self, query: Query, version: Version, now_s: float) -> None:
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
                self._answers.answer(query, output)
                return
            flying = self._cache.flight(key)
            if flying is not None and not (version.hopeless and flying.is_stuck):
                _join(flying, query)
                return
        if version.hopeless:
            self._answers.default(query, DefaultReason.NO_REPLICA, version.why_hopeless)
        elif version.queue.is_full_for(application):
            self._answers.default(query, DefaultReason.QUEUE_FULL)
        else:
            task = query.task = Task(version, query.input, query, key)
            if key is not None:
                self._cache.take_off(key, task)
            version.queue.push(task, application, task.due_s)


def _join(task: Task, query: Query) -> None:
    task.join(query)
    query.task = task
    request = query.request
    application = request.route.application
    # Its place in the queue may be that of somebody who can wait longer, or who has asked too much.
    another = application.name != task.application.name or request.deadline_s < task.due_s
    # Nobody has queued a stuck one for whom nobody waited.
    another = another or (task.is_stuck and len(task.waiters) == 1)
    if another and not task.version.queue.is_full_for(application):
        task.queue_for(query)
