"""What a batching policy is asked and what it answers."""

import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from services.query.engine.demand import Demand
from services.query.engine.queue import Lane, TaskQueue

# So many tasks a batch has at most, whatever a policy learns.
LARGEST = 4096


class Plan(NamedTuple):
    """What to do with a version's queue now.

    Attributes:
        size: how many tasks make the next batch; 0: none yet.
        late: how many tasks at the head of a lane cannot make their deadline any more, or would make many others late.
        look_again_s: when to ask again if nothing happens before; infinity when only an event can change the plan.
        is_full: whether the batch would not become larger if more were waiting.
        by_share: whether the applications get what their shares say; else the earliest deadlines go first.
    """

    size: int
    late: Sequence[tuple[Lane, int]] = ()
    look_again_s: float = math.inf
    is_full: bool = False
    by_share: bool = True


WAIT = Plan(0)


class BatchingPolicy(Protocol):
    """Plans the batches of one replica."""

    @property
    def full_size(self) -> int:
        """How many must wait before a busy replica is sent one more batch; while fewer do, it need not be asked."""

    def plan(self, queue: TaskQueue, replicas: int, busy_s: float, now_s: float) -> Plan:
        """Plans the next batch.

        Args:
            queue: what waits; not empty.
            replicas: how many share the queue, this one included.
            busy_s: how long the replica is still expected to be busy; 0 when it is idle, infinity when nobody knows.
            now_s: the time.
        """

    def expected_s(self, size: int) -> float:
        """How long the replica is expected to be busy with a batch of `size`; infinity when nobody knows."""

    def observe(self, size: int, busy_s: float, demand: Demand) -> None:
        """Learns from one answered batch.

        Args:
            size: tasks in the batch.
            busy_s: how long the replica was busy with it, transfer included.
            demand: what is asked of the version.
        """


def up_to(limit: int, queue: TaskQueue, busy_s: float) -> Plan:
    """The plan of a policy that has nothing but a limit.

    An idle replica takes what there is. A busy one takes a further batch only when the queue fills it, since tasks sent
    behind another batch wait just the same but can no longer be joined by others or go elsewhere.
    """
    waiting = len(queue)
    if busy_s > 0.0 and waiting < limit:
        return WAIT
    return Plan(min(waiting, limit), is_full=waiting >= limit)
