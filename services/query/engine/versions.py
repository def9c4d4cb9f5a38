"""What can answer: routes of applications, model versions with their queue, replicas with what they have in flight."""

from __future__ import annotations

import itertools
import math
from enum import Enum, auto
from typing import TYPE_CHECKING, Protocol

from services.query.engine.patience import Patience
from services.query.engine.queue import TaskQueue
from services.query.engine.requests import Spent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.common.records import Application, ModelVersion
    from services.common.records import Replica as ReplicaRecord
    from services.query.engine.batching.plan import BatchingPolicy
    from services.query.engine.policies.selector import Selector
    from services.query.engine.requests import Task

_MICROS = 1e-6


class Route:
    """An application and what serves it now: one model version, or those that its selection policy chooses among.

    Attributes:
        application: its record.
        slo_s: its latency objective.
        cache_ttl_s: the oldest cached prediction that it takes; infinity when of any age.
        versions: the current version of each linked model that has one, by the model's name, in the order of names.
        version: the only one of them; None when there is none or a selection policy chooses.
        selector: its selection policy; None with the policy "single".
    """

    __slots__ = ("application", "cache_ttl_s", "selector", "slo_s", "version", "versions")

    def __init__(
        self, application: Application, versions: Mapping[str, Version], selector: Selector | None = None
    ) -> None:
        self.application = application
        self.slo_s = application.latency_slo_micros * _MICROS
        self.cache_ttl_s = application.cache_ttl_micros * _MICROS or math.inf
        self.versions = versions
        self.version = next(iter(versions.values()), None) if selector is None else None
        self.selector = selector

    def askable(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The models that may be chosen, without those that cannot answer unless no other is left; and all others."""
        hopeful = [model for model, version in self.versions.items() if not version.hopeless]
        # What cannot be computed may still be in the cache.
        asked = tuple(hopeful or self.versions)
        if len(asked) == len(self.application.linked_models):
            return asked, ()
        return asked, tuple(model for model in self.application.linked_models if model not in asked)


class Version:
    """One registered model version.

    Attributes:
        number: never used again, not even when the same name and version is registered anew.
        record: its record.
        queue: its tasks that wait for a replica.
        replicas: its replicas in every state.
        ready: how many of them take batches.
        hopeless: whether no replica can be expected to take a task: none is ready and none is on its way.
        look_again_s: when its queue is to be looked at though nothing happens; infinity when not.
        cache_lookups, cache_hits: how often its predictions were looked for in the cache, and found.
    """

    __slots__ = (
        "_busy",
        "_idle",
        "cache_hits",
        "cache_lookups",
        "hopeless",
        "look_again_s",
        "number",
        "queue",
        "ready",
        "record",
        "replicas",
    )

    _numbers = itertools.count()

    def __init__(self, record: ModelVersion, queue_capacity: int) -> None:
        self.number = next(self._numbers)
        self.record = record
        self.queue = TaskQueue(queue_capacity)
        self.replicas: list[Replica] = []
        self.ready = 0
        self.hopeless = True
        # Those that may take a batch, who has waited longest for one first: so that equal ones take turns.
        self._idle: dict[Replica, None] = {}
        self._busy: dict[Replica, None] = {}
        self.look_again_s = math.inf
        self.cache_lookups = 0
        self.cache_hits = 0

    def adopt(self, replica: Replica, batching: BatchingPolicy) -> None:
        """Counts a replica among its own, whose batches are planned by `batching` from now on."""
        replica.version = self
        replica.batching = batching
        self.replicas.append(replica)
        self.note_states()
        self.note_room(replica)

    def disown(self, replica: Replica) -> None:
        """Counts a replica among its own no longer."""
        replica.version = None
        self.replicas.remove(replica)
        self.note_states()
        self.note_room(replica)

    def note_states(self) -> None:
        """Notes what states its replicas are in, which every query asks."""
        self.ready = sum(replica.state is ReplicaState.READY for replica in self.replicas)
        self.hopeless = not any(replica.state in _HOPEFUL for replica in self.replicas)

    def note_room(self, replica: Replica) -> None:
        """Notes whether a replica may be sent a batch, and how soon it would begin with it."""
        self._idle.pop(replica, None)
        self._busy.pop(replica, None)
        if replica.state is ReplicaState.READY and replica.version is self:
            if not replica.in_flight:
                self._idle[replica] = None
            elif len(replica.in_flight) < _MOST_IN_FLIGHT:
                self._busy[replica] = None

    @property
    def why_hopeless(self) -> str:
        """What to say to those who ask it while it is hopeless; empty when there is nothing particular to say."""
        return _FROZEN if any(replica.state is ReplicaState.FROZEN for replica in self.replicas) else ""

    def idle(self) -> list[Replica]:
        """The replicas that have nothing to do."""
        return list(self._idle)

    def busy(self) -> list[Replica]:
        """The replicas that may be sent a batch to begin with when they are done with the one they have."""
        return list(self._busy)


class ReplicaState(Enum):
    """Where a replica is in its life."""

    CONNECTING = auto()  # known, its stream is being opened for the first time
    READY = auto()  # takes batches
    OVERDUE = auto()  # has kept a batch for too long, and takes no other; it will be ready when it answers
    FROZEN = auto()  # has kept it for so long that nobody is to wait for it; it will be ready when it answers
    LOST = auto()  # its stream broke; it is being dialled again
    DRAINING = auto()  # its lease ended; it finishes what it has


_FROZEN = "The model's replicas are frozen: they have not answered for longer than the latency objective and a second"
_HOPEFUL = (ReplicaState.CONNECTING, ReplicaState.READY, ReplicaState.OVERDUE)
_CONNECTED = (ReplicaState.READY, ReplicaState.OVERDUE, ReplicaState.FROZEN)

# One batch that computes and one that waits behind it, so that the replica never idles for a round trip.
_MOST_IN_FLIGHT = 2
# A replica that should be done just now is busy nevertheless.
_OVERDUE_S = 1e-6


class Link(Protocol):
    """The connection to a replica, as the engine's driver needs it."""

    def send(self, batch: Batch) -> None:
        """Starts a batch on its way."""

    def release(self) -> None:
        """Ends the connection, in which nothing is in flight, and returns at once."""

    def close(self) -> None:
        """Breaks the connection and waits for its thread."""


class Replica:
    """One replica of a version.

    Attributes:
        record: its record.
        version: the registered version that it belongs to; None before registration and after the end.
        state: whether it takes batches; changed by `enter` alone.
        batching: plans its batches; there once it belongs to a version.
        patience: knows for how long it may keep a batch.
        look_s: when that is looked at next; infinity when nobody is to look.
        in_flight: the batches that it has not answered, by batch id, oldest first.
        link: how whoever carries out the engine's effects reaches it; there once it was dialled.
    """

    __slots__ = (
        "_batch_ids",
        "_last_answer_s",
        "batching",
        "in_flight",
        "link",
        "look_s",
        "patience",
        "record",
        "state",
        "version",
    )

    batching: BatchingPolicy
    link: Link

    def __init__(self, record: ReplicaRecord) -> None:
        self.record = record
        self.version: Version | None = None
        self.state = ReplicaState.CONNECTING
        self.patience = Patience()
        self.look_s = math.inf
        self.in_flight: dict[int, Batch] = {}
        self._last_answer_s = 0.0
        self._batch_ids = itertools.count(1)

    @property
    def has_room(self) -> bool:
        """Whether it may be sent one more batch."""
        return len(self.in_flight) < _MOST_IN_FLIGHT

    def enter(self, state: ReplicaState) -> None:
        """Changes its state."""
        self.state = state
        if self.version is not None:
            self.version.note_states()
        self._note_room()

    def judge(self, state: ReplicaState) -> None:
        """Changes the state of one whose stream is open and whose lease runs, by how it answers."""
        if self.state in _CONNECTED and self.state is not state:
            self.enter(state)

    def send(self, tasks: list[Task], now_s: float) -> Batch:
        """Counts a new batch as in flight."""
        batch = Batch(next(self._batch_ids), self, tasks, now_s)
        self.in_flight[batch.batch_id] = batch
        for task in tasks:
            task.batch = batch
            task.attempts += 1
        self._note_room()
        return batch

    def returned(self, batch_id: int) -> Batch:
        """Counts a batch as in flight no longer, as it is answered.

        Raises:
            KeyError: it has no such batch.
        """
        batch = self.in_flight.pop(batch_id)
        self._note_room()
        return batch

    def lost(self) -> list[Batch]:
        """Counts nothing as in flight any more; returns what was."""
        batches = list(self.in_flight.values())
        self.in_flight.clear()
        self._note_room()
        return batches

    def began_s(self, batch: Batch) -> float:
        """When it began with its oldest batch: not before it had answered an earlier one."""
        return max(batch.sent_s, self._last_answer_s)

    def was_busy_s(self, batch: Batch, now_s: float) -> float:
        """How long it was busy with a batch that it answers now: not counting the wait behind an earlier batch."""
        busy_s = now_s - self.began_s(batch)
        self._last_answer_s = now_s
        return busy_s

    def is_busy_s(self, now_s: float) -> float:
        """How long it is still expected to be busy; 0 when it is idle, infinity when nobody knows."""
        done_s = self._last_answer_s
        for batch in self.in_flight.values():
            done_s = max(done_s, batch.sent_s) + self.batching.expected_s(len(batch.tasks))
        # Whoever is late already is expected to stay so for as long again.
        return max(abs(done_s - now_s), _OVERDUE_S) if self.in_flight else 0.0

    def _note_room(self) -> None:
        if self.version is not None:
            self.version.note_room(self)


class Batch:
    """Tasks that travel to a replica together.

    Attributes:
        batch_id: unique for the replica.
        replica: where it goes.
        tasks: at least one.
        sent_s: when, on the engine's clock.
        overdue: whether its replica has kept it, or the one before it, for too long.
    """

    __slots__ = ("batch_id", "overdue", "replica", "sent_s", "tasks")

    def __init__(self, batch_id: int, replica: Replica, tasks: list[Task], sent_s: float) -> None:
        self.batch_id = batch_id
        self.replica = replica
        self.tasks = tasks
        self.sent_s = sent_s
        self.overdue = False

    @property
    def size(self) -> int:
        """How many tasks it has; this and the next two are what `Patience` asks for."""
        return len(self.tasks)

    @property
    def tightest_s(self) -> float:
        """The tightest of the latency objectives for which its tasks wait."""
        return min([task.application.latency_slo_micros for task in self.tasks]) * _MICROS

    @property
    def longest_s(self) -> float:
        """The longest of them."""
        return max([task.application.latency_slo_micros for task in self.tasks]) * _MICROS

    def spent(self, arrival_s: float, model_s: float, now_s: float) -> Spent:
        """Where the time of a query went that came at `arrival_s` and is answered now."""
        queue_s = max(0.0, self.sent_s - arrival_s)
        network_s = max(0.0, now_s - self.sent_s - model_s)
        return Spent(False, queue_s, len(self.tasks), model_s, network_s)
