"""Sends what waits to the replicas, as their batching policies plan it, when something happens and when it is time."""

import heapq
import math
from collections.abc import Iterable

from services.query.engine.answers import Answers
from services.query.engine.effects import Outbox
from services.query.engine.lookout import Lookout
from services.query.engine.versions import Replica, Version

# What fits into a message with all that comes with it, by far.
_LARGEST_BATCH_BYTES = 32 * 1024 * 1024


class Dispatcher:
    """Knows which versions are to be looked at, and when.

    Args:
        answers: takes the tasks that a policy gives up.
        lookout: has those who keep a batch looked at.
        outbox: takes the batches.
    """

    def __init__(self, answers: Answers, lookout: Lookout, outbox: Outbox) -> None:
        self._answers = answers
        self._lookout = lookout
        self._outbox = outbox
        # A dict for its order: equal events are to have equal effects, in simulations above all.
        self._submitted: dict[Version, None] = {}
        self._looks: list[tuple[float, int, Version]] = []

    @property
    def next_look_s(self) -> float:
        """When `look` has something to do; infinity for never."""
        return self._looks[0][0] if self._looks else math.inf

    @property
    def has_submitted(self) -> bool:
        """Whether `dispatch_submitted` has something to do."""
        return bool(self._submitted)

    def submitted(self, version: Version) -> None:
        """Notes that something waits for a version since it was dispatched last."""
        self._submitted[version] = None

    def dispatch_submitted(self, now_s: float) -> None:
        """Dispatches the versions for which something was submitted."""
        submitted, self._submitted = self._submitted, {}
        for version in submitted:
            self.dispatch(version, now_s)

    def look(self, now_s: float) -> None:
        """Dispatches the versions whose time has come."""
        looks = self._looks
        while looks and looks[0][0] <= now_s:
            version = heapq.heappop(looks)[2]
            if version.look_again_s <= now_s:
                self.dispatch(version, now_s)

    def dispatch(self, version: Version, now_s: float) -> None:
        """Sends a version's replicas what their policies want."""
        look_again_s = math.inf
        if version.queue:
            version.queue.survey(now_s)
            look_again_s = min(self._fill(version.idle(), version, now_s), self._fill(version.busy(), version, now_s))
        version.look_again_s = look_again_s if version.queue else math.inf
        if version.look_again_s < math.inf:
            heapq.heappush(self._looks, (look_again_s, version.number, version))

    def _fill(self, replicas: Iterable[Replica], version: Version, now_s: float) -> float:
        """Sends batches to one replica after the other, until nothing waits; returns when to look again."""
        look_again_s = math.inf
        for replica in replicas:
            if not version.queue:
                break
            look_again_s = min(look_again_s, self._send_to(replica, version, now_s))
        return look_again_s

    def _send_to(self, replica: Replica, version: Version, now_s: float) -> float:
        """Sends a replica batches; returns when to look again."""
        queue, batching = version.queue, replica.batching
        while queue and replica.has_room:
            if replica.in_flight and len(queue) < batching.full_size:
                return math.inf
            plan = batching.plan(queue, version.ready, replica.is_busy_s(now_s), now_s)
            for lane, count in plan.late:
                self._answers.give_up_late(queue.remove(lane, count), lane, lane.due_s(0) if len(lane) else math.inf)
            if not plan.size:
                return plan.look_again_s
            tasks = queue.take(plan.size, _LARGEST_BATCH_BYTES, by_share=plan.by_share)
            if tasks:
                batch = replica.send(tasks, now_s)
                self._outbox.effects.sent.append(batch)
                if replica.look_s == math.inf:
                    self._lookout.sent(batch)
        return math.inf
