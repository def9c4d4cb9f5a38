"""Admission: who is let in when messages come faster than the thread that serves them can look at them.

A message waits here from its arrival until the thread has time for it. How old it is decides what becomes of it:

- The first that came is let in first, until it has waited for a quarter of its objective. Then the thread is overloaded
  and whoever waits longest is lost anyway, so the last that came is let in first, which can still be in time.
- Whatever could not be answered by its deadline any more is given up, when that shows and no sooner: a client that
  keeps so many calls outstanding would at once send another one for each that it is told of.
- A more important class of priority goes first; within a class the applications take turns by their shares.
- More inputs or bytes than may wait push out the oldest of the least important class.

Like the engine it is pure: the time comes with each event.
"""

import heapq
import itertools
import math
from bisect import insort
from collections import deque
from typing import Generic, TypeVar

from services.common.names import PRIORITIES
from services.common.records import Application

# How much of its objective a message waits in the order of arrival.
_PATIENCE = 0.25
# What the answers of those that were let in are expected to take is smoothed over about so many, and may cost a message
# no more than this part of the time that it has: models that take longer are the engine's to judge.
_SMOOTHED_OVER = 16
_LARGEST_RESERVE = 0.25
_MICROS = 1e-6
_RANKS = {priority: rank for rank, priority in enumerate(PRIORITIES)}


class Message:
    """One request of a client before it is looked at.

    Attributes:
        application: whom it asks.
        arrival_s: when it came.
        deadline_s: by when it is to be answered.
        inputs: how many it has.
        size_bytes: how large it is.
    """

    __slots__ = ("application", "arrival_s", "deadline_s", "inputs", "size_bytes")

    def __init__(
        self, application: Application, arrival_s: float, deadline_s: float, inputs: int, size_bytes: int
    ) -> None:
        self.application = application
        self.arrival_s = arrival_s
        self.deadline_s = deadline_s
        self.inputs = inputs
        self.size_bytes = size_bytes

    def abandon(self) -> None:
        """It will not be let in, so what it carries may be forgotten."""


_MessageT = TypeVar("_MessageT", bound=Message)


class Admission(Generic[_MessageT]):
    """The messages that wait to be let in.

    Args:
        most_inputs: how many inputs they may have together; a single message may have more.
        most_bytes: how large they may be together, likewise.

    Attributes:
        due_s: when `give_up` may have something to do; infinity when nothing waits.
    """

    __slots__ = (
        "_bytes",
        "_inputs",
        "_lanes",
        "_most_bytes",
        "_most_inputs",
        "_numbers",
        "_pushed_out",
        "_reserve_s",
        "due_s",
    )

    def __init__(self, most_inputs: int, most_bytes: int) -> None:
        self.due_s = math.inf
        self._most_inputs = most_inputs
        self._most_bytes = most_bytes
        self._lanes: dict[str, _Lane[_MessageT]] = {}
        self._pushed_out: list[tuple[float, int, _MessageT]] = []
        self._numbers = itertools.count()
        self._inputs = 0
        self._bytes = 0
        self._reserve_s = 0.0

    def arrive(self, message: _MessageT) -> None:
        """Takes a message."""
        lane = self._lanes.get(message.application.name)
        if lane is None:
            lane = self._add_lane(message.application)
        lane.push(message)
        self._inputs += message.inputs
        self._bytes += message.size_bytes
        due_s = self._due_s(message)
        if due_s < self.due_s:
            self.due_s = due_s
        if self._inputs > self._most_inputs or self._bytes > self._most_bytes:
            self._make_room()

    def let_in(self, now_s: float) -> _MessageT | None:
        """Removes and returns whom to look at next; None when nobody waits. To be called after `give_up`."""
        if not self._lanes:
            return None
        lane = self._next_lane() if len(self._lanes) > 1 else next(iter(self._lanes.values()))
        message = lane.take(now_s)
        lane.served += message.inputs / lane.application.share
        self._forget(lane, message)
        if not self._lanes and not self._pushed_out:
            self.due_s = math.inf
        return message

    def give_up(self, now_s: float, most: int) -> list[_MessageT]:
        """Removes and returns those that can be answered in time no longer, but only so many at once."""
        given_up: list[_MessageT] = []
        while self._pushed_out and self._pushed_out[0][0] <= now_s and len(given_up) < most:
            given_up.append(heapq.heappop(self._pushed_out)[2])
        self.due_s = self._pushed_out[0][0] if self._pushed_out else math.inf
        for lane in list(self._lanes.values()):
            while lane.waiting:
                due_s = self._due_s(lane.waiting[0])
                if due_s > now_s or len(given_up) == most:
                    self.due_s = min(self.due_s, due_s)
                    break
                given_up.append(lane.waiting.popleft())
                self._forget(lane, given_up[-1])
        return given_up

    def answered(self, took_s: float) -> None:
        """Learns how long it took from letting one in until its answer was on its way."""
        self._reserve_s += (took_s - self._reserve_s) / _SMOOTHED_OVER

    def _add_lane(self, application: Application) -> "_Lane[_MessageT]":
        lane: _Lane[_MessageT] = _Lane(application)
        if self._lanes:
            # Whoever was away has no claim to what the others were served meanwhile.
            lane.served = min(other.served for other in self._lanes.values())
        self._lanes[application.name] = lane
        return lane

    def _next_lane(self) -> "_Lane[_MessageT]":
        return min(self._lanes.values(), key=lambda lane: (lane.rank, lane.served))

    def _due_s(self, message: _MessageT) -> float:
        """By when a message has to be let in."""
        # A client's own deadline may be much earlier than the objective.
        has_s = message.deadline_s - message.arrival_s
        return message.deadline_s - min(self._reserve_s, _LARGEST_RESERVE * has_s)

    def _make_room(self) -> None:
        while (self._inputs > self._most_inputs or self._bytes > self._most_bytes) and self._crowded:
            lane = max(self._lanes.values(), key=lambda lane: (lane.rank, len(lane.waiting)))
            message = lane.waiting.popleft()
            heapq.heappush(self._pushed_out, (self._due_s(message), next(self._numbers), message))
            message.abandon()
            self._forget(lane, message)

    @property
    def _crowded(self) -> bool:
        return len(self._lanes) > 1 or any(len(lane.waiting) > 1 for lane in self._lanes.values())

    def _forget(self, lane: "_Lane[_MessageT]", message: _MessageT) -> None:
        self._inputs -= message.inputs
        self._bytes -= message.size_bytes
        if not lane.waiting:
            del self._lanes[lane.application.name]


class _Lane(Generic[_MessageT]):
    """What waits on behalf of one application.

    Attributes:
        application: the application's record.
        rank: its class of priority, the most important one 0.
        slo_s: its latency objective.
        waiting: earliest deadline first.
        served: how many inputs were let in, divided by the share; who has the least is next.
    """

    __slots__ = ("application", "rank", "served", "slo_s", "waiting")

    def __init__(self, application: Application) -> None:
        self.application = application
        self.rank = _RANKS[application.priority]
        self.slo_s = application.latency_slo_micros * _MICROS
        self.waiting: deque[_MessageT] = deque()
        self.served = 0.0

    def push(self, message: _MessageT) -> None:
        """Adds a message."""
        waiting = self.waiting
        # Deadlines mostly come in order.
        if not waiting or waiting[-1].deadline_s <= message.deadline_s:
            waiting.append(message)
        else:
            insort(waiting, message, key=lambda each: each.deadline_s)

    def take(self, now_s: float) -> _MessageT:
        """Removes and returns the first, or the last while the first has waited for long."""
        overloaded = now_s - self.waiting[0].arrival_s >= _PATIENCE * self.slo_s
        return self.waiting.pop() if overloaded else self.waiting.popleft()
