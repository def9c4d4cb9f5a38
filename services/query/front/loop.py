"""The loop: one thread that takes events from the completion queue, callbacks from other threads, and one timer.

Every event carries a bound method as its tag, and calling it is all that the loop does with it. The queue's poll counts
on the wall clock, in milliseconds, and in slices of 200 ms inside grpcio; events end a slice at once.

An event does not tell when it came. But what follows a moment without any has come since; and where they never end, the
loop puts marks of its own into the queue, which keeps their order: what follows a mark has come since the mark.
"""

import functools
import logging
import math
import time
from collections import deque
from collections.abc import Callable
from threading import Lock

from grpc._cython import cygrpc  # type: ignore[attr-defined]

from services.common.metrics import Histogram
from services.common.rpc_operations import Event, Rpc

_LOG = logging.getLogger(__name__)
# How long a callback may wait while no call is there to wake the loop with.
_SLICE_WITHOUT_WAKER_S = 0.01
_LONGEST_POLL_S = 3600.0
_AT_ONCE = 0.0
# A queue of this kind brings the events of calls; the server deals its connections out to its other queues (poller.py).
_NON_LISTENING = True
_NO_EVENT = cygrpc.CompletionType.queue_timeout
# For how long events may be taken, and what they put off be done, before `on_idle` though more is waiting. Events come
# first: whom to serve is decided among those that are known, and a stream is read and written a message an event. What
# is left to the rest when they never end is a tenth.
_LONGEST_ROW_S = 0.02
_LONGEST_CATCH_UP_S = 0.002
# A poll that lasted for so long has waited for its event. One that found an event may take a while, too, on a machine
# that has better things to do.
_SLEPT_S = 0.001
_MICROS = 1e6


class Loop:
    """Runs on the thread that calls `run`; all but `call_soon` belongs to that thread.

    Attributes:
        queue: the completion queue.
        wake_at_s: when `on_wake` is to be called, on time.monotonic()'s clock; infinity for never.
        on_wake: called at `wake_at_s`, and again until that is in the future.
        on_idle: called when nothing waits, neither an event nor what was put off, and while events come without end
            every few milliseconds.
        caught_up_s: all events that had come by then have been taken, on time.monotonic()'s clock.
        lag_micros: for how long, in microseconds, the first event of each row may have waited.
        turns: how many turns have begun; each takes some events and does some of what they put off.
        wall_clock: what the core's clock shows, in seconds.
    """

    def __init__(self, wall_clock: Callable[[], float] = time.time) -> None:
        self.queue = cygrpc.CompletionQueue(_NON_LISTENING)
        self.caught_up_s = time.monotonic()
        self.lag_micros = Histogram()
        self.turns = 0
        self.wall_clock = wall_clock
        self.wake_at_s = math.inf
        self.on_wake: Callable[[], None] = lambda: None
        self.on_idle: Callable[[], None] = lambda: None
        self._waker: Rpc | None = None
        self._waker_lock = Lock()
        self._callbacks: deque[Callable[[], None]] = deque()
        self._put_off: deque[Callable[[], None]] = deque()
        self._is_woken = False
        self._asleep = False

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Has the loop's thread call `callback`, after those asked for before. Any thread may ask, before `run` too."""
        self._callbacks.append(callback)
        # Who is awake looks at the callbacks before going to sleep.
        if self._asleep and not self._is_woken:
            with self._waker_lock:
                if self._waker is not None:
                    self._is_woken = True
                    self._waker.start_server_batch((), self._on_woken)

    def put_off(self, callback: Callable[[], None]) -> None:
        """Has `callback` called when no event waits any more, or many have been taken, after those put off before."""
        self._put_off.append(callback)

    def mark(self) -> None:
        """Puts an event of its own behind those that wait, so that it shows when they are taken."""
        if self._waker is not None:
            self._waker.start_server_batch((), functools.partial(self._on_mark, time.monotonic()))

    def take_waker(self, call: Rpc) -> None:
        """Gives the loop a call, which may end, to be woken by.

        An empty batch of operations, started on any call, is the one thing in grpcio that puts an event on a server's
        queue from another thread.
        """
        self._waker = call

    def run(self, is_over: Callable[[], bool]) -> None:
        """Takes events until `is_over`; what one of them or a callback raises is logged."""
        while not is_over():
            self.turns += 1
            try:
                none_waits = self._take_row()
                self._catch_up()
                self.on_idle()
                if none_waits and not self._put_off and not is_over():
                    self._sleep()
            # Whatever it is, the other calls are not to end with it.
            except BaseException:
                _LOG.exception("an event failed")

    def _take_row(self) -> bool:
        """Takes the events that wait, but not for too long; returns whether none waits any more."""
        poll = self.queue.poll
        now_s = begun_s = time.monotonic()
        before_s, none_waits = self.caught_up_s, False
        while now_s < begun_s + _LONGEST_ROW_S:
            self._attend(now_s)
            event = poll(_AT_ONCE)
            if event.completion_type == _NO_EVENT:
                self.caught_up_s = now_s
                none_waits = True
                break
            event.tag(event)
            # Kept until the next event, it would keep its call alive, too.
            del event
            now_s = time.monotonic()
        if not none_waits:
            self.mark()
        if now_s > begun_s:
            self.lag_micros.record((begun_s - before_s) * _MICROS)
        return none_waits

    def _catch_up(self) -> None:
        """Does what was put off, but not for too long."""
        if not self._put_off:
            return
        now_s = time.monotonic()
        until_s = now_s + _LONGEST_CATCH_UP_S
        while self._put_off and now_s < until_s:
            self._attend(now_s)
            self._put_off.popleft()()
            now_s = time.monotonic()

    def _attend(self, now_s: float) -> None:
        """Does what can wait for nothing else."""
        while self._callbacks:
            self._callbacks.popleft()()
        if self.wake_at_s <= now_s:
            self.on_wake()

    def close(self) -> None:
        """Shuts the queue down; callbacks are kept no longer."""
        with self._waker_lock:
            self._waker = None
        self.queue.shutdown()
        while self.queue.poll().completion_type != cygrpc.CompletionType.queue_shutdown:
            pass

    def _sleep(self) -> None:
        """Waits for an event, a callback or the time to wake, and takes the event."""
        begun_s = time.monotonic()
        self._asleep = True
        event = self.queue.poll(_AT_ONCE if self._callbacks else self._poll_until(begun_s))
        self._asleep = False
        now_s = time.monotonic()
        if now_s - begun_s > _SLEPT_S:
            self.caught_up_s = now_s
        if event.completion_type != _NO_EVENT:
            event.tag(event)

    def _poll_until(self, now_s: float) -> float:
        longest_s = _SLICE_WITHOUT_WAKER_S if self._waker is None else _LONGEST_POLL_S
        return self.wall_clock() + min(longest_s, max(0.0, self.wake_at_s - now_s))

    def _on_mark(self, marked_s: float, _event: Event) -> None:
        if marked_s > self.caught_up_s:
            self.caught_up_s = marked_s

    def _on_woken(self, _event: Event) -> None:
        # The callbacks are taken next; one that is added from now on wakes again.
        self._is_woken = False
