"""The machine: requests are answered from the cache, by replicas in batches, or with default outputs at their deadline.

Each event is a method that carries the time; it first settles what that time has brought (deadlines), then itself. What
the engine wants done is collected in `Effects` until `take_effects`.

    submit            a request arrived
    dispatch          nothing else has arrived: what waits may go to the replicas
    cancel            its client has gone
    batch_answered    a replica answered a batch
    replica_ready     the stream to a replica is open
    replica_lost      it broke
    configure         what is registered changed
    advance           time passed; due at `wake_at_s`

The engine keeps these promises: a request is finished exactly once; it is finished by its deadline if `advance` is
called then; a query is answered by its own task only; no batch is larger than its replica's limit; a batch lost with
its replica is tried once more elsewhere if the deadline allows.
"""

import math
from collections.abc import Mapping, Sequence

from services.common.records import Configuration, ModelVersion, version_key
from services.common.records import Replica as ReplicaRecord
from services.query.engine.cache import PredictionCache
from services.query.engine.deadlines import Deadlines
from services.query.engine.dispatcher import Dispatcher
from services.query.engine.queue import Lane
from services.query.engine.requests import EXPLANATIONS, DefaultReason, Query, Request, Spent, Task
from services.query.engine.versions import Batch, Replica, ReplicaState, Route, Version

# A second loss says more about the input than about the replicas.
_MOST_ATTEMPTS = 2


class Effects:
    """What the engine wants done, in the order of each list.

    Attributes:
        sent: batches to send to their replica.
        finished: requests whose queries are all answered.
        dialled: new replicas, to be connected.
        released: replicas that need their connection no longer.
    """

    __slots__ = ("dialled", "finished", "released", "sent")

    def __init__(self) -> None:
        self.sent: list[Batch] = []
        self.finished: list[Request] = []
        self.dialled: list[Replica] = []
        self.released: list[Replica] = []


class Engine:
    """The pure part of a query service. Not thread-safe: one event at a time.

    Args:
        cache_bytes: capacity of the prediction cache; 0 turns it off.
        queue_capacity: most tasks that may wait for one model version.
    """

    def __init__(self, cache_bytes: int, queue_capacity: int) -> None:
        self.cache = PredictionCache(cache_bytes)
        self.routes: dict[str, Route] = {}
        self.versions: dict[str, Version] = {}
        self._queue_capacity = queue_capacity
        self._replicas: dict[str, Replica] = {}
        self._configuration = Configuration()
        self._deadlines = Deadlines()
        self._effects = Effects()
        self._dispatcher = Dispatcher(lambda batch: self._effects.sent.append(batch), self._give_up_late)

    @property
    def wake_at_s(self) -> float:
        """When `advance` has something to do; infinity when nothing waits."""
        return min(self._deadlines.next(), self._dispatcher.next_look_s)

    @property
    def has_undispatched(self) -> bool:
        """Whether `dispatch` has something to do."""
        return self._dispatcher.has_submitted

    @property
    def connecting(self) -> bool:
        """Whether a replica is being dialled for the first time."""
        return any(replica.state is ReplicaState.CONNECTING for replica in self._replicas.values())

    def take_effects(self) -> Effects:
        """What there is to do since the last call."""
        effects, self._effects = self._effects, Effects()
        return effects

    def submit(self, request: Request, now_s: float) -> None:
        """Takes a request with at least one query."""
        self.advance(now_s)
        version = request.version
        if request.deadline_s <= now_s:
            self._finish_late(request)
        elif version is None:
            for query in request.queries:
                self._default(query, DefaultReason.NO_REPLICA)
        else:
            for query in request.queries:
                self._admit(query, version, now_s)
            if request.unanswered:
                self._deadlines.add(request)
                self._dispatcher.submitted(version)

    def dispatch(self, now_s: float) -> None:
        """Sends what was submitted to the replicas that can take it.

        An event of its own, so that requests which arrive together can leave together.
        """
        self.advance(now_s)
        self._dispatcher.dispatch_submitted(now_s)

    def cancel(self, request: Request) -> None:
        """Forgets a request whose client has gone; it is never reported as finished."""
        for query in request.queries:
            if not query.answered:
                self._leave(query)
                del query.request
        request.unanswered = 0

    def batch_answered(
        self,
        replica: Replica,
        batch_id: int,
        outputs: Sequence[str],
        failures: Mapping[int, str],
        model_s: float,
        now_s: float,
    ) -> float:
        """Takes a replica's answer.

        Args:
            replica: who answers.
            batch_id: which batch.
            outputs: one for each task of the batch.
            failures: the model's error message, by place in the batch.
            model_s: seconds that it spent in the model's code.
            now_s: the time.

        Returns:
            How many seconds the replica was busy with the batch.

        Raises:
            KeyError: the replica has no such batch in flight.
        """
        self.advance(now_s)
        batch = replica.in_flight.pop(batch_id)
        busy_s = max(model_s, replica.was_busy_s(batch, now_s))
        version = replica.version
        if version is not None:
            replica.batching.observe(len(batch.tasks), busy_s, version.slo_s)
            self._dispatcher.dispatch(version, now_s)
        if len(outputs) != len(batch.tasks):
            error = f"The container answered {len(batch.tasks)} inputs with {len(outputs)} outputs"
            failures = dict.fromkeys(range(len(batch.tasks)), error)
            outputs = [""] * len(batch.tasks)
        for place, task in enumerate(batch.tasks):
            task.batch = None
            if place in failures:
                self._give_up(task, DefaultReason.MODEL_ERROR, failures[place])
            else:
                self._resolve(task, outputs[place], batch, model_s, now_s)
        self._release_if_drained(replica)
        return busy_s

    def replica_ready(self, replica: Replica, now_s: float) -> None:
        """The stream to a replica is open: it takes batches, unless its lease has ended meanwhile."""
        self.advance(now_s)
        if replica.state is ReplicaState.DRAINING:
            return
        replica.state = ReplicaState.READY
        if replica.version is not None:
            self._dispatcher.dispatch(replica.version, now_s)

    def replica_lost(self, replica: Replica, now_s: float) -> None:
        """The stream to a replica broke, or could not be opened: its batches go elsewhere, if there is an elsewhere."""
        self.advance(now_s)
        if replica.state is not ReplicaState.DRAINING:
            replica.state = ReplicaState.LOST
        batches = list(replica.in_flight.values())
        replica.in_flight.clear()
        for batch in batches:
            for task in batch.tasks:
                task.batch = None
                self._retry(task)
        for version in dict.fromkeys(batch.tasks[0].version for batch in batches):
            self._dispatcher.dispatch(version, now_s)
        if replica.version is not None:
            self._flush_if_hopeless(replica.version)
        self._release_if_drained(replica)

    def configure(self, configuration: Configuration, now_s: float) -> None:
        """Takes over what is registered."""
        self.advance(now_s)
        self._configure_replicas(configuration.replicas)
        self._configure_versions(configuration.model_versions)
        self._configure_routes(configuration)
        self._configuration = configuration
        for version in self.versions.values():
            self._dispatcher.dispatch(version, now_s)
            self._flush_if_hopeless(version)

    def advance(self, now_s: float) -> None:
        """Answers every request whose deadline has come, and sends the batches whose time has come."""
        if self._deadlines.next() <= now_s:
            for request in self._deadlines.expire(now_s):
                self._finish_late(request)
        self._dispatcher.look(now_s)

    # Queries and tasks

    def _admit(self, query: Query, version: Version, now_s: float) -> None:
        route = query.request.route
        application = route.application
        key = None
        if self.cache.enabled and application.use_cache:
            key = (version.number, query.input)
            output = self.cache.output(key, now_s - route.cache_ttl_s)
            version.cache_lookups += 1
            if output is not None:
                version.cache_hits += 1
                if query.request.explain:
                    query.spent = Spent(True, 0.0, 0, 0.0, 0.0)
                self._answer(query, output)
                return
            flying = self.cache.flight(key)
            if flying is not None:
                self._join(flying, query)
                return
        if version.hopeless:
            self._default(query, DefaultReason.NO_REPLICA)
        elif version.queue.is_full_for(application):
            self._default(query, DefaultReason.QUEUE_FULL)
        else:
            task = query.task = Task(version, query.input, query, key)
            if key is not None:
                self.cache.take_off(key, task)
            version.queue.push(task, application, task.due_s)

    def _join(self, task: Task, query: Query) -> None:
        task.join(query)
        query.task = task
        request = query.request
        application = request.route.application
        # Its place in the queue may be that of somebody who can wait longer, or who has asked too much.
        another = application.name != task.application.name or request.deadline_s < task.due_s
        if another and not task.version.queue.is_full_for(application):
            self._queue(task, query)

    def _queue(self, task: Task, query: Query) -> None:
        """Puts a task into the queue for the sake of one of its waiters."""
        if task.batch is None:
            task.application = query.request.route.application
            task.due_s = query.request.deadline_s
            task.version.queue.push(task, task.application, task.due_s)

    def _give_up_late(self, tasks: list[Task], lane: Lane, next_due_s: float) -> None:
        """Gives up the head of a lane, for those who cannot wait until the next in it is due."""
        for task in tasks:
            if task.batch is not None:
                continue
            name = lane.application.name
            own = [query for query in task.waiters if query.request.route.application.name == name]
            patient = [query for query in own if query.request.deadline_s >= next_due_s]
            for query in own:
                if query.request.deadline_s < next_due_s:
                    self._leave(query)
                    self._default(query, DefaultReason.DEADLINE_UNREACHABLE)
            if patient:
                self._queue(task, min(patient, key=lambda query: query.request.deadline_s))

    def _resolve(self, task: Task, output: str, batch: Batch, model_s: float, now_s: float) -> None:
        if task.flight is not None:
            self.cache.land(task.flight, output, now_s)
        waiters, task.waiters = task.waiters, []
        for query in waiters:
            if query.request.explain:
                query.spent = batch.spent(query.request.arrival_s, model_s, now_s)
            self._answer(query, output)

    def _give_up(self, task: Task, reason: DefaultReason, explanation: str = "") -> None:
        if task.flight is not None:
            self.cache.abandon(task.flight)
        waiters, task.waiters = task.waiters, []
        for query in waiters:
            self._default(query, reason, explanation)

    def _retry(self, task: Task) -> None:
        version = task.version
        if task.waiters and task.attempts < _MOST_ATTEMPTS and not version.hopeless:
            version.queue.push(task, task.application, task.due_s)
        else:
            self._give_up(task, DefaultReason.REPLICA_LOST)

    def _finish_late(self, request: Request) -> None:
        for query in request.queries:
            if not query.answered:
                computing = query.task is not None and query.task.batch is not None
                self._leave(query)
                self._default(query, DefaultReason.DEADLINE_IN_MODEL if computing else DefaultReason.DEADLINE_IN_QUEUE)

    def _leave(self, query: Query) -> None:
        task, query.task = query.task, None
        if task is None:
            return
        task.waiters.remove(query)
        if not task.waiters and task.batch is None and task.flight is not None:
            # Nobody will compute it now, so nobody may join it. A task that is being computed flies on for the cache.
            self.cache.abandon(task.flight)
            task.flight = None

    def _default(self, query: Query, reason: DefaultReason, explanation: str = "") -> None:
        query.reason = reason
        query.explanation = explanation or EXPLANATIONS[reason]
        self._answer(query, query.request.route.application.default_output)

    def _answer(self, query: Query, output: str) -> None:
        query.output = output
        query.answered = True
        query.task = None
        query.input = b""
        request = query.request
        # The way back would make every request a cycle that only the garbage collector can free.
        del query.request
        request.unanswered -= 1
        if request.unanswered == 0:
            self._effects.finished.append(request)

    # Replicas, versions and routes

    def _release_if_drained(self, replica: Replica) -> None:
        if replica.state is ReplicaState.DRAINING and not replica.in_flight:
            self._effects.released.append(replica)

    def _flush_if_hopeless(self, version: Version) -> None:
        if version.queue and version.hopeless:
            for task in version.queue.clear():
                self._give_up(task, DefaultReason.NO_REPLICA)

    def _configure_replicas(self, records: Mapping[str, ReplicaRecord]) -> None:
        if records is self._configuration.replicas:
            return
        for key, replica in list(self._replicas.items()):
            if records.get(key) != replica.record:
                del self._replicas[key]
                self._drain(replica)
        for key, record in records.items():
            if key not in self._replicas:
                replica = self._replicas[key] = Replica(record)
                self._effects.dialled.append(replica)
                version = self.versions.get(record.version_key)
                if version is not None:
                    version.adopt(replica)

    def _drain(self, replica: Replica) -> None:
        replica.state = ReplicaState.DRAINING
        if replica.version is not None:
            replica.version.disown(replica)
        self._release_if_drained(replica)

    def _configure_versions(self, records: Mapping[str, ModelVersion]) -> None:
        if records is self._configuration.model_versions:
            return
        for key, version in list(self.versions.items()):
            if records.get(key) != version.record:
                del self.versions[key]
                for replica in list(version.replicas):
                    version.disown(replica)
                for task in version.queue.clear():
                    self._give_up(task, DefaultReason.NO_REPLICA)
                self.cache.forget(version.number)
        for key, record in records.items():
            if key not in self.versions:
                version = self.versions[key] = Version(record, self._queue_capacity)
                for replica in self._replicas.values():
                    if replica.record.version_key == key:
                        version.adopt(replica)

    def _configure_routes(self, configuration: Configuration) -> None:
        self.routes = {}
        for version in self.versions.values():
            version.slo_s = math.inf
        for name, application in configuration.applications.items():
            route = self.routes[name] = Route(
                application, self._current_version(application.linked_models, configuration)
            )
            if route.version is not None:
                route.version.slo_s = min(route.version.slo_s, route.slo_s)

    def _current_version(self, linked_models: Sequence[str], configuration: Configuration) -> Version | None:
        for model_name in linked_models:
            current = configuration.current_versions.get(model_name)
            if current is not None:
                return self.versions.get(version_key(current.model_name, current.model_version))
        return None
