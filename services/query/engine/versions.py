"""What can answer: routes of applications, model versions with their queue, replicas with what they have in flight."""

from __future__ import annotations

import itertools
import math
from enum import Enum, auto
from typing import TYPE_CHECKING

from services.common.names import ADAPTIVE_BATCH_SIZE
from services.query.engine.batching import BatchingPolicy, policy_for
from services.query.engine.queue import TaskQueue

if TYPE_CHECKING:
    from services.common.records import Application, ModelVersion
    from services.common.records import Replica as ReplicaRecord
    from services.query.engine.requests import Task

_MICROS = 1e-6


class Route:
    """An application and the model version that serves it now.

    Attributes:
        application: its record.
        slo_s: its latency objective.
        version: the current version of its linked model; None when there is none.
    """

    __slots__ = ("application", "slo_s", "version")

    def __init__(self, application: Application, version: Version | None) -> None:
        self.application = application
        self.slo_s = application.latency_slo_micros * _MICROS
        self.version = version


class Version:
    """One registered model version.

    Attributes:
        number: never used again, not even when the same name and version is registered anew.
        record: its record.
        slo_s: the tightest latency objective of the applications that it serves now; infinity when it serves none.
        queue: its tasks that wait for a replica.
        replicas: its replicas in every state.
        cache_lookups, cache_hits: how often its predictions were looked for in the cache, and found.
    """

    __slots__ = ("cache_hits", "cache_lookups", "number", "queue", "record", "replicas", "slo_s")

    _numbers = itertools.count()

    def __init__(self, record: ModelVersion, queue_capacity: int) -> None:
        self.number = next(self._numbers)
        self.record = record
        self.slo_s = math.inf
        self.queue = TaskQueue(queue_capacity)
        self.replicas: list[Replica] = []
        self.cache_lookups = 0
        self.cache_hits = 0

    def adopt(self, replica: Replica) -> None:
        """Counts a replica among its own."""
        replica.version = self
        replica.batching = policy_for(self.record.batch_size)
        self.replicas.append(replica)

    def disown(self, replica: Replica) -> None:
        """Counts a replica among its own no longer."""
        replica.version = None
        self.replicas.remove(replica)

    @property
    def hopeless(self) -> bool:
        """Whether no replica can be expected to take a task: none is ready and none is on its way."""
        # A loop, because a generator would cost every query several times as much.
        for replica in self.replicas:  # noqa: SIM110
            if replica.state in _HOPEFUL:
                return False
        return True

    def replica_for_next_batch(self) -> Replica | None:
        """The replica that should take the next batch; None when all have enough to do.

        An idle replica takes what there is. A busy one takes a further batch only when the queue fills it, since tasks
        sent behind another batch wait just the same but can no longer be joined by others or go elsewhere.
        """
        full: Replica | None = None
        for replica in self.replicas:
            if replica.state is ReplicaState.READY:
                load = len(replica.in_flight)
                if load == 0:
                    return replica
                if load < _MOST_IN_FLIGHT and len(self.queue) >= replica.batching.limit:
                    full = replica
        return full


class ReplicaState(Enum):
    """Where a replica is in its life."""

    CONNECTING = auto()  # known, its stream is being opened for the first time
    READY = auto()  # takes batches
    LOST = auto()  # its stream broke; it is being dialled again
    DRAINING = auto()  # its lease ended; it finishes what it has


_HOPEFUL = frozenset({ReplicaState.CONNECTING, ReplicaState.READY})

# One batch that computes and one that waits behind it, so that the replica never idles for a round trip.
_MOST_IN_FLIGHT = 2


class Replica:
    """One replica of a version.

    Attributes:
        record: its record.
        version: the registered version that it belongs to; None before registration and after the end.
        state: whether it takes batches.
        batching: how large its next batch may be.
        in_flight: the batches that it has not answered, by batch id, oldest first.
        link: whatever the caller needs to reach it; the engine does not look at it.
    """

    __slots__ = ("_batch_ids", "_last_answer_s", "batching", "in_flight", "link", "record", "state", "version")

    def __init__(self, record: ReplicaRecord) -> None:
        self.record = record
        self.version: Version | None = None
        self.state = ReplicaState.CONNECTING
        self.batching: BatchingPolicy = policy_for(ADAPTIVE_BATCH_SIZE)
        self.in_flight: dict[int, Batch] = {}
        self._last_answer_s = 0.0
        self.link: object = None
        self._batch_ids = itertools.count(1)

    def send(self, tasks: list[Task], now_s: float) -> Batch:
        """Counts a new batch as in flight."""
        batch = Batch(next(self._batch_ids), self, tasks, now_s)
        self.in_flight[batch.batch_id] = batch
        for task in tasks:
            task.batch = batch
            task.attempts += 1
        return batch

    def busy_s(self, batch: Batch, now_s: float) -> float:
        """How long it was busy with a batch that it answers now: not counting the wait behind an earlier batch."""
        busy = now_s - max(batch.sent_s, self._last_answer_s)
        self._last_answer_s = now_s
        return busy


class Batch:
    """Tasks that travel to a replica together.

    Attributes:
        batch_id: unique for the replica.
        replica: where it goes.
        tasks: at least one.
        sent_s: when, on the engine's clock.
    """

    __slots__ = ("batch_id", "replica", "sent_s", "tasks")

    def __init__(self, batch_id: int, replica: Replica, tasks: list[Task], sent_s: float) -> None:
        self.batch_id = batch_id
        self.replica = replica
        self.tasks = tasks
        self.sent_s = sent_s
