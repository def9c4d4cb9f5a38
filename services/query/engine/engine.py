"""The machine: requests are answered from the cache, by replicas in batches, or with default outputs at their deadline.

Each event is a method that carries the time; it first settles what that time has brought (deadlines), then itself. What
the engine wants done is collected in `Effects` until `take_effects`.

    submit            a request arrived
    feedback          a client told how good predictions were
    joined            the prediction that feedback is about was found, or not
    learned           the store has learned from feedback, or not
    state_read        what was learned in a context is known
    dispatch          nothing else has arrived: what waits may go to the replicas
    cancel            its client has gone
    batch_answered    a replica answered a batch
    replica_ready     the stream to a replica is open
    replica_lost      it broke
    configure         what is registered changed
    advance           time passed; due at `wake_at_s`

The engine keeps these promises: a request is finished exactly once; it is finished by its deadline if `advance` is
called then; a query is answered by its own task only; no batch is larger than its replica's limit; a batch that is lost
with its replica, or that a replica keeps for too long, is tried once more elsewhere if the deadline allows; a replica
that keeps a batch for too long is sent no other until it answers. A request of feedback is reported as taught exactly
once, as soon as each of its items has its `joined` or `learned`.
"""

import math
from collections.abc import Mapping, Sequence
from random import Random

from services.common.lessons import Outcome
from services.common.records import Configuration
from services.common.selection_records import ContextKey, Recorded, State
from services.query.engine.answers import Answers
from services.query.engine.cache import PredictionCache
from services.query.engine.choosing.chooser import Chooser, Wait
from services.query.engine.deadlines import Deadlines
from services.query.engine.dispatcher import Dispatcher
from services.query.engine.effects import Effects, Outbox
from services.query.engine.feedback import Feedback, FeedbackRequest
from services.query.engine.intake import Intake
from services.query.engine.inventory import Inventory
from services.query.engine.learning import Learning
from services.query.engine.lookout import Lookout
from services.query.engine.policies.registry import Policies
from services.query.engine.recent import RecentPredictions
from services.query.engine.requests import DefaultReason, Request
from services.query.engine.versions import Batch, Replica, ReplicaState, Version


class Engine:
    """The pure part of a query service. Not thread-safe: one event at a time.

    Args:
        cache_bytes: capacity of the prediction cache; 0 turns it off.
        queue_capacity: most tasks that may wait for one model version.
        random: the selection policies' chance.
        policies: the selection policies of applications; only built-in and installed ones unless given.

    Attributes:
        cache: the prediction cache.
        routes: what is registered of each application, by its name.
        versions: the registered model versions, by their key.
        contexts: what the selection policies have learned.
        recent: the predictions of the last seconds.
    """

    def __init__(
        self, cache_bytes: int, queue_capacity: int, random: Random | None = None, policies: Policies | None = None
    ) -> None:
        self._outbox = Outbox()
        self._deadlines = Deadlines()
        self.cache = PredictionCache(cache_bytes)
        self._answers = Answers(self.cache, self._outbox)
        self._lookout = Lookout()
        self._dispatcher = Dispatcher(self._answers, self._lookout, self._outbox)
        self._intake = Intake(self.cache, self._answers, self._deadlines, self._dispatcher)
        self.recent = RecentPredictions()
        chance = random or Random()  # noqa: S311
        self._chooser = Chooser(self._intake, self._answers, self._deadlines, self._outbox, self.recent, chance)
        self.contexts = self._chooser.contexts
        self._learning = Learning(self._chooser, self.recent, self._deadlines, self._outbox)
        self._inventory = Inventory(queue_capacity, policies or Policies())
        self.routes = self._inventory.routes
        self.versions = self._inventory.versions

    @property
    def wake_at_s(self) -> float:
        """When `advance` has something to do; infinity when nothing waits."""
        return min(self._deadlines.next(), self._dispatcher.next_look_s, self._lookout.next_s)

    @property
    def has_undispatched(self) -> bool:
        """Whether `dispatch` has something to do, or the requests and feedback before it have had effects."""
        effects = self._outbox.effects
        return self._dispatcher.has_submitted or bool(
            effects.finished or effects.reads or effects.joins or effects.lessons or effects.taught
        )

    @property
    def connecting(self) -> bool:
        """Whether a replica is being dialled for the first time."""
        return self._inventory.connecting

    def take_effects(self) -> Effects:
        """What there is to do since the last call."""
        return self._outbox.take()

    def submit(self, request: Request, now_s: float) -> None:
        """Takes a request with at least one query."""
        self.advance(now_s)
        request.submitted_s = now_s
        version = request.version
        if request.deadline_s <= now_s:
            self._answers.finish_late(request)
        elif version is not None:
            self._intake.ask(request, [version] * len(request.queries), now_s)
        elif request.route.selector is not None:
            self._chooser.submit(request, request.route.selector, now_s)
        else:
            for query in request.queries:
                self._answers.default(query, DefaultReason.NO_REPLICA)

    def feedback(self, request: FeedbackRequest, now_s: float) -> None:
        """Takes a request with at least one item of feedback."""
        self.advance(now_s)
        self._learning.feedback(request, now_s)

    def joined(self, feedback: Feedback, found: Recorded | Exception | None, now_s: float) -> None:
        """Takes the prediction that feedback is about; None when there is none, an error when the store cannot tell."""
        self.advance(now_s)
        self._learning.joined(feedback, found, now_s)

    def learned(self, feedback: Feedback, outcome: Outcome | Exception, now_s: float) -> None:
        """Takes what the store has made of the lesson of feedback; an error when it does not say."""
        self.advance(now_s)
        self._learning.learned(feedback, outcome, now_s)

    def state_read(self, key: ContextKey, state: State | None, now_s: float) -> None:
        """Takes what was learned in a context, as it was read; None when Redis is away."""
        self.advance(now_s)
        self._chooser.state_read(key, state, now_s)

    def dispatch(self, now_s: float) -> None:
        """Sends what was submitted to the replicas that can take it, and has read what is to be read.

        An event of its own, so that requests which arrive together can leave together.
        """
        self.advance(now_s)
        self._dispatcher.dispatch_submitted(now_s)

    def cancel(self, request: Request) -> None:
        """Forgets a request whose client has gone; it is never reported as finished."""
        for query in request.queries:
            if not query.answered:
                self._answers.leave(query)
                del query.request
        request.unanswered = 0
        if request.selection is not None and request.selection.members is not None:
            members, request.selection.members = request.selection.members, None
            self.cancel(members)

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
        batch = replica.returned(batch_id)
        busy_s = max(model_s, replica.was_busy_s(batch, now_s))
        is_news = batch.overdue or not replica.patience.is_known
        replica.patience.observe(batch, busy_s)
        if is_news:
            self._trust(replica, batch, now_s)
        version = replica.version
        if version is not None:
            replica.batching.observe(len(batch.tasks), busy_s, version.queue.demand)
            self._dispatcher.dispatch(version, now_s)
        if len(outputs) != len(batch.tasks):
            error = f"The container answered {len(batch.tasks)} inputs with {len(outputs)} outputs"
            failures = dict.fromkeys(range(len(batch.tasks)), error)
            outputs = [""] * len(batch.tasks)
        for place, task in enumerate(batch.tasks):
            if place in failures:
                # One that was stuck may be at another replica by now, which fails or not by itself.
                if task.batch is batch:
                    task.batch = None
                    self._answers.give_up(task, DefaultReason.MODEL_ERROR, failures[place])
            else:
                task.batch = None
                self._answers.resolve(task, outputs[place], batch, model_s, now_s)
        self._release_if_drained(replica)
        return busy_s

    def replica_ready(self, replica: Replica, now_s: float) -> None:
        """The stream to a replica is open: it takes batches, unless its lease has ended meanwhile."""
        self.advance(now_s)
        if replica.state is ReplicaState.DRAINING:
            return
        replica.enter(ReplicaState.READY)
        if replica.version is not None:
            self._dispatcher.dispatch(replica.version, now_s)

    def replica_lost(self, replica: Replica, now_s: float) -> None:
        """The stream to a replica broke, or could not be opened: its batches go elsewhere, if there is an elsewhere."""
        self.advance(now_s)
        if replica.state is not ReplicaState.DRAINING:
            replica.enter(ReplicaState.LOST)
        replica.look_s = math.inf
        batches = replica.lost()
        for batch in batches:
            for task in batch.tasks:
                if task.batch is batch:
                    task.batch = None
                    self._answers.retry(task)
        self._dispatch_again(batches, now_s)
        if replica.version is not None:
            self._flush_if_hopeless(replica.version)
        self._release_if_drained(replica)

    def configure(self, configuration: Configuration, now_s: float) -> None:
        """Takes over what is registered."""
        self.advance(now_s)
        changes = self._inventory.take_over(configuration)
        self._outbox.effects.dialled.extend(changes.dialled)
        for replica in changes.draining:
            self._release_if_drained(replica)
        for version in changes.removed:
            self._hand_over(version)
            self.cache.forget(version.number)
        for version in self.versions.values():
            self._dispatcher.dispatch(version, now_s)
            self._flush_if_hopeless(version)

    def advance(self, now_s: float) -> None:
        """Answers every request whose deadline has come, and sends the batches whose time has come."""
        if self._deadlines.next() <= now_s:
            for due in self._deadlines.expire(now_s):
                if isinstance(due, Request):
                    self._answers.finish_late(due)
                elif isinstance(due, Wait):
                    self._chooser.waited(due, now_s)
                elif isinstance(due, Feedback):
                    self._learning.look_again(due)
        if self._lookout.next_s <= now_s:
            for replica in self._lookout.take_due(now_s):
                self._look(replica, now_s)
        self._dispatcher.look(now_s)

    def _look(self, replica: Replica, now_s: float) -> None:
        """Sees whether a replica has kept its oldest batch for too long."""
        batch = next(iter(replica.in_flight.values()), None)
        if batch is None:
            return
        overdue_s = replica.began_s(batch) + replica.patience.overdue_after_s(batch)
        frozen_s = replica.began_s(batch) + replica.patience.frozen_after_s(batch)
        if now_s < frozen_s:
            self._lookout.look_at(replica, overdue_s if now_s < overdue_s else frozen_s)
        if now_s >= overdue_s:
            self._route_round(replica, now_s, frozen=now_s >= frozen_s)

    def _route_round(self, replica: Replica, now_s: float, *, frozen: bool) -> None:
        """Sends a replica nothing more, and what it has elsewhere if there is an elsewhere."""
        replica.judge(ReplicaState.FROZEN if frozen else ReplicaState.OVERDUE)
        if frozen:
            self._outbox.effects.frozen.append(replica)
        batches = list(replica.in_flight.values())
        for batch in batches:
            if not batch.overdue:
                batch.overdue = True
                for task in batch.tasks:
                    self._answers.try_elsewhere(task)
        self._dispatch_again(batches, now_s)
        if replica.version is not None:
            self._flush_if_hopeless(replica.version)

    def _trust(self, replica: Replica, answered: Batch, now_s: float) -> None:
        """Sends a replica batches again, which has answered one that was overdue, or its first."""
        replica.judge(ReplicaState.READY)
        replica.look_s = math.inf
        answered.overdue = False
        for batch in replica.in_flight.values():
            batch.overdue = False
        self._look(replica, now_s)

    def _dispatch_again(self, batches: Sequence[Batch], now_s: float) -> None:
        for version in dict.fromkeys(batch.tasks[0].version for batch in batches):
            self._dispatcher.dispatch(version, now_s)

    def _release_if_drained(self, replica: Replica) -> None:
        if replica.state is ReplicaState.DRAINING and not replica.in_flight:
            self._outbox.effects.released.append(replica)

    def _hand_over(self, version: Version) -> None:
        """Has what waits for a removed version wait for the one that has taken its place, if there is one."""
        successor = self.versions.get(version.record.key)
        if successor is None or successor.record.input_type is not version.record.input_type:
            self._flush(version)
            return
        for task in version.queue.clear():
            # What is at a replica is answered by that.
            if task.batch is None:
                task.version = successor
                successor.queue.push(task, task.application, task.due_s)

    def _flush_if_hopeless(self, version: Version) -> None:
        if version.queue and version.hopeless:
            self._flush(version)

    def _flush(self, version: Version) -> None:
        for task in version.queue.clear():
            # What is at a replica may be answered by that, however late.
            if task.batch is None:
                self._answers.give_up(task, DefaultReason.NO_REPLICA, version.why_hopeless)
