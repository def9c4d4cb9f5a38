"""The largest batch that makes its deadlines; what cannot make it is given up early so that the rest can.

It needs no knob: it learns how long batches take and plans with the 99th percentile. After Clockwork (Gujarati et al.,
OSDI 2020: refuse at once what cannot make it), Nexus (Shen et al., SOSP 2019: skip the head when serving it would
shrink the batches below what the load needs) and Symphony (Chen et al., 2023: plan backwards from the deadline).

- While nobody floods the model, no batch is larger than what takes two fifths of the tightest latency objective of
  those who ask, or than a third more than the smallest that keeps up with what comes, if that is larger: what arrives
  while it runs finds one that is done soon. A deadline that is too near for such a batch gets a smaller one, as long as
  few do. Applications get what their shares say; where that is too little for those with the tightest objectives, and
  all can be served in time nevertheless, the earliest deadlines go first.
- Somebody floods it who has more waiting than its share can work off in time so, by all replicas. Of a lane that keeps
  up, nothing is given up but what could not even make it alone; and beside it, and beside one that was there an
  objective ago, no batch is larger than the above. Otherwise batches are as large as the head's deadline allows. When
  even that is too little, the head has waited so long that only small batches would make its deadline, and small
  batches serve fewer. Then as many are given up from the head as it takes for a batch that serves the rest, or that
  serves nearly as many a second as the largest would: more would be too many when the crowd is gone soon.
- A busy replica is sent its next batch shortly before it is expected to be done, and only one of that size: later
  arrivals have the better chances, so nothing is decided earlier than it must, and what was sent behind a straggler can
  no longer go elsewhere.
- A replica that has become idle waits for a moment for those whom its last batch brings back, if a batch costs much
  whatever its size and the deadlines are far away.
- An idle replica that seems too slow for anybody is sent what it would do on average: only that tells whether it still
  is, and for what sizes.
"""

import math
from collections.abc import Callable, Collection, Iterable, Sequence

from services.query.engine.batching.latency import LatencyModel
from services.query.engine.batching.plan import WAIT, Plan
from services.query.engine.batching.returns import Returns
from services.query.engine.demand import Demand
from services.query.engine.queue import Lane, TaskQueue

# The next batch is on its way this long before the replica is done, to spare it the round trip, or for this part of the
# tightest objective: who comes meanwhile waits for it. Timers are good to a millisecond.
_LEAD_S = 0.002
_LEAD_SHARE = 0.05
_TIMER_S = 0.0005
# The part of the latency objective that a batch takes which is worth its fixed cost and still leaves time to wait.
_SHARE = 0.4
# Beside a flood it may take as much of it as leaves just enough to wait for one and be in the next.
_BESIDE_SHARE = 0.45
# In an overload it may take as much of it as leaves time for the choice.
_OVERLOAD_SHARE = 0.8
# Batches that keep up with a little more than what comes, so that what waits becomes less again.
_HEADROOM = 1.05
_CATCHING_UP = 1.3
_LEAST_S = 1e-6
# Who may come back is waited for this part of what a batch costs whatever its size, and of the tightest objective; not
# at all where that is less than timers are good for.
_MOMENT_OF_COST = 0.25
_MOMENT_SHARE = 0.02
_LEAST_MOMENT_S = 0.001
# So much of the time may go to batches that are smaller than those that keep up, counted over so long.
_HURRY_SHARE = 0.05
_HURRIES_S = 0.1


class Adaptive:
    """Plans with what it learnt of one replica.

    Args:
        largest: the largest batch.
    """

    __slots__ = (
        "_hurries_from_s",
        "_kept_up_s",
        "_largest",
        "_latency",
        "_moment_s",
        "_replicas",
        "_returns",
        "_slo_s",
        "_stable",
        "_surveys",
        "full_size",
    )

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._latency = LatencyModel()
        self._returns = Returns()
        self._moment_s = 0.0
        self._replicas = 1
        # By application: when a plan for this replica last saw it keeping up.
        self._kept_up_s: dict[str, float] = {}
        # Kept, as they are asked for much more often than they change.
        self._surveys = 0
        self._slo_s = math.inf
        self._stable = 1
        self._hurries_from_s = 0.0
        self.full_size = 1

    def plan(self, queue: TaskQueue, replicas: int, busy_s: float, now_s: float) -> Plan:
        """See the module."""
        if busy_s == 0.0 and not self._latency.known:
            return Plan(1, is_full=True)
        self._replicas = replicas
        if queue.demand.surveys != self._surveys:
            self._aim(queue.demand)
        target = self.full_size
        if busy_s > 0.0 and len(queue) < target:
            return WAIT
        lead_s = min(_LEAD_S, _LEAD_SHARE * self._slo_s)
        if busy_s > lead_s + _TIMER_S:
            return Plan(0, look_again_s=now_s + busy_s - lead_s)
        if busy_s == 0.0:
            awaited_s = self._returns.awaited_until_s(queue, self._moment_s, now_s)
            if awaited_s > now_s and len(queue) < target and self._has_time(queue, awaited_s):
                return Plan(0, look_again_s=awaited_s)
        return self._plan(queue, replicas, now_s + busy_s, idle=busy_s == 0.0)

    def expected_s(self, size: int) -> float:
        """How long a batch of `size` takes on average."""
        return self._latency.mean_s(size) if self._latency.known else math.inf

    def observe(self, size: int, busy_s: float, demand: Demand) -> None:
        """Learns how long a batch took."""
        self._latency.observe(size, busy_s)
        self._returns.batch_done()
        self._aim(demand)

    def _aim(self, demand: Demand) -> None:
        """Finds how large batches are to be while nobody floods the model."""
        latency = self._latency
        self._surveys = demand.surveys
        self._slo_s = demand.tightest_s(latency.mean_s(1))
        stable = latency.stable_size(_HEADROOM * demand.per_s / self._replicas)
        # Where even the widest objective leaves no time to wait for one and be in the next, somebody floods the model.
        self._stable = int(stable) if stable <= self._repeated(demand.widest_s) else 1
        small = self._room(_SHARE * self._slo_s)
        # What waits becomes less the sooner, the larger batches are; but nobody is to miss two of them.
        larger = min(int(_CATCHING_UP * self._stable), self._repeated(self._slo_s))
        self.full_size = max(small, self._stable, larger)
        moment_s = min(_MOMENT_OF_COST * latency.fixed_s, _MOMENT_SHARE * self._slo_s)
        self._moment_s = moment_s if moment_s >= _LEAST_MOMENT_S else 0.0

    def _has_time(self, queue: TaskQueue, start_s: float) -> bool:
        """Whether a batch as large as they come, begun then, makes the earliest deadline."""
        return self._room(min(lane.due_s(0) for lane in queue.lanes) - start_s) >= self.full_size

    def _plan(self, queue: TaskQueue, replicas: int, start_s: float, *, idle: bool) -> Plan:
        waiting, lanes, target = len(queue), queue.lanes, self.full_size
        room = self._room(min(lane.due_s(0) for lane in lanes) - start_s)
        if waiting <= min(room, target):
            self._note_keeping_up(lanes, start_s)
            return Plan(waiting, is_full=waiting == target)
        quotas = queue.quotas(target)
        size = min(target, waiting)
        behind = {lane for lane, quota in quotas if not self._keeps_up(lane, quota * replicas, start_s, size)}
        by_deadline = (
            bool(behind) and _are_tightest(behind, lanes) and self._all_keep_up(lanes, replicas, start_s, size)
        )
        if by_deadline or not behind:
            self._note_keeping_up(lanes, start_s)
            return self._calm(lanes, waiting, start_s, idle=idle, by_share=not by_deadline)
        self._note_keeping_up([lane for lane in lanes if lane not in behind], start_s)
        return self._flooded(quotas, behind, replicas, start_s, room, idle=idle)

    def _all_keep_up(self, lanes: Sequence[Lane], replicas: int, start_s: float, size: int) -> bool:
        """Whether batches of `size`, earliest deadlines first, answer all that waits in time.

        Looks at deadlines that are twice as far away each time.
        """
        mean_s, p99_s = max(_LEAST_S, self._latency.mean_s(size)), max(_LEAST_S, self._latency.p99_s(size))
        left_s = max(lane.due_s(len(lane) - 1) for lane in lanes) - start_s
        while left_s >= p99_s:
            batches = 1 + int((left_s - p99_s) / mean_s)
            if sum(lane.due_by(start_s + left_s) for lane in lanes) > batches * size * replicas:
                return False
            left_s /= 2
        return True

    def _calm(self, lanes: Sequence[Lane], waiting: int, start_s: float, *, idle: bool, by_share: bool) -> Plan:
        """While nobody floods: only what could not even make it in the smallest batch that keeps up is given up."""
        stable = min(waiting, self._stable)
        least = 1 if start_s >= self._hurries_from_s else stable
        late, due_s = [], math.inf
        for lane in lanes:
            lost = lane.due_by(start_s + self._latency.mean_s(least))
            if lost:
                late.append((lane, lost))
                waiting -= lost
            # Who can make it by chance only is no reason for a smaller batch.
            risky = max(lost, lane.due_by(start_s + self._latency.p99_s(least)))
            if risky < len(lane):
                due_s = min(due_s, lane.due_s(risky))
        if idle and not waiting:
            return self._trial(late)
        room = self._room(due_s - start_s)
        size = min(waiting, self.full_size if room >= waiting else max(least, room))
        if size < min(stable, waiting):
            took_s = self._latency.mean_s(size)
            self._hurries_from_s = max(self._hurries_from_s, start_s - _HURRIES_S) + took_s / _HURRY_SHARE
        return Plan(size, late, is_full=True, by_share=by_share)

    def _flooded(
        self,
        quotas: Sequence[tuple[Lane, int]],
        flooded: Collection[Lane],
        replicas: int,
        start_s: float,
        room: int,
        *,
        idle: bool,
    ) -> Plan:
        """While somebody floods."""
        waiting = sum(len(lane) for lane, _ in quotas)
        target = max(self.full_size, self._room(_BESIDE_SHARE * self._slo_s))
        spares_others = self._expects_others(flooded, start_s - self._slo_s)
        if room >= waiting:
            return Plan(target if spares_others else waiting, is_full=True)
        if room and not spares_others and self._all_keep_up([lane for lane, _ in quotas], replicas, start_s, room):
            return Plan(room, is_full=True)
        wanted = target if spares_others else max(target, self._efficient(_OVERLOAD_SHARE * self._slo_s))
        total = sum(quota for _, quota in quotas)
        room = target if spares_others else self._largest
        late = []
        for lane, quota in quotas:
            lost = self._lost(lane, start_s, replicas, quota / total, wanted if lane in flooded else 1)
            waiting -= lost
            if lost:
                late.append((lane, lost))
            if quota and lost < len(lane):
                room = min(room, self._room(lane.due_s(lost) - start_s))
        if idle and not waiting:
            return self._trial(late)
        return Plan(min(room, waiting), late, is_full=True)

    def _trial(self, late: list[tuple[Lane, int]]) -> Plan:
        """What an idle replica is sent that seems too slow for all of those who are `late`."""
        *others, (lane, lost) = late
        tried = min(lost, self._largest, max(1, self._latency.likely_within(self._slo_s)))
        return Plan(tried, (*others, (lane, lost - tried)), is_full=True)

    def _note_keeping_up(self, lanes: Iterable[Lane], now_s: float) -> None:
        for lane in lanes:
            self._kept_up_s[lane.application.name] = now_s

    def _expects_others(self, flooded: Iterable[Lane], since_s: float) -> bool:
        """Whether others than the flooded lanes have been there since."""
        self._kept_up_s = {name: seen_s for name, seen_s in self._kept_up_s.items() if seen_s >= since_s}
        return not self._kept_up_s.keys() <= {lane.application.name for lane in flooded}

    def _efficient(self, budget_s: float) -> int:
        return min(self._largest, self._latency.efficient_within(budget_s))

    def _repeated(self, budget_s: float) -> int:
        return min(self._largest, self._latency.twice_within(budget_s))

    def _room(self, budget_s: float) -> int:
        return min(self._largest, self._latency.largest_within(budget_s))

    def _keeps_up(self, lane: Lane, quota: int, start_s: float, size: int) -> bool:
        """Whether batches of `size`, of which the lane gets `quota` at once, answer it all in time.

        Looks at its quarters. A lane that is taken whole at once asks for no larger batch than itself.
        """
        waiting, mean_s = len(lane), self._latency.mean_s(size)
        p99_s = self._latency.p99_s(min(size, waiting) if waiting <= quota else size)
        return quota > 0 and all(
            start_s + (place - 1) // quota * mean_s + p99_s <= lane.due_s(place - 1)
            for place in (waiting, (waiting + 1) // 2, (waiting + 3) // 4)
        )

    def _lost(self, lane: Lane, start_s: float, replicas: int, part: float, wanted: int) -> int:
        """How many at the lane's head leave no time for a batch of `wanted`, or of what each replica has left by then.

        The lane has `part` of the batch.
        """
        waiting = len(lane)

        def leaves_time(place: int) -> bool:
            room = self._room(lane.due_s(place) - start_s)
            return room >= 1 and room * part >= min(wanted * part, (waiting - place) / replicas)

        return _first(waiting, leaves_time)


def _are_tightest(some: Collection[Lane], lanes: Iterable[Lane]) -> bool:
    """Whether there are some, and all others want their answers less soon than any of them."""
    widest = max((lane.application.latency_slo_micros for lane in some), default=math.inf)
    return bool(some) and all(lane.application.latency_slo_micros > widest for lane in lanes if lane not in some)


def _first(count: int, holds: Callable[[int], bool]) -> int:
    """The first place below `count` from which on `holds` is true; `count` when there is none."""
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low
