"""The loop: one thread that takes events from the completion queue, callbacks from other threads, and one timer.

Every event carries a bound method as its tag, and calling it is all that the loop does with it. The queue's poll counts
on the wall clock, in milliseconds, and in slices of 200 ms inside grpcio; events end a slice at once.
"""

import logging
import math
import time
from collections import deque
from collections.abc import Callable
from threading import Lock

from grpc._cython import cygrpc  # type: ignore[attr-defined]

from services.common.rpc_operations import Event, Rpc

_LOG = logging.getLogger(__name__)
# How long a callback may wait while there is no bell to ring.
_SLICE_WITHOUT_BELL_S = 0.01
_LONGEST_POLL_S = 3600.0
_AT_ONCE = 0.0
# A queue of this kind brings the events of calls; the server deals its connections out to its other queues (poller.py).
_NON_LISTENING = True
_NO_EVENT = cygrpc.CompletionType.queue_timeout
# For how long events may be taken, and what they put off be done, before `on_idle` though more is waiting.
_LONGEST_ROW_S = 0.005


class Loop:
    """Runs on the thread that calls `run`; all but `call_soon` belongs to that thread.

    Attributes:
        queue: the completion queue.
        wake_at_s: when `on_wake` is to be called, on time.monotonic()'s clock; infinity for never.
        on_wake: called at `wake_at_s`, and again until that is in the future.
        on_idle: called when nothing waits, neither an event nor what was put off, and while events come without end
            every few milliseconds.
    """

    def __init__(self) -> None:
        self.queue = cygrpc.CompletionQueue(_NON_LISTENING)
        self.wake_at_s = math.inf
        self.on_wake: Callable[[], None] = lambda: None
        self.on_idle: Callable[[], None] = lambda: None
        self._bell: Rpc | None = None
        self._bell_lock = Lock()
        self._callbacks: deque[Callable[[], None]] = deque()
        self._put_off: deque[Callable[[], None]] = deque()
        self._rung = False
        self._asleep = False

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Has the loop's thread call `callback`, after those asked for before. Any thread may ask, before `run` too."""
        self._callbacks.append(callback)
        # Who is awake looks at the callbacks before going to sleep.
        if self._asleep and not self._rung:
            with self._bell_lock:
                if self._bell is not None:
                    self._rung = True
                    self._bell.start_server_batch((), self._on_bell)

    def put_off(self, callback: Callable[[], None]) -> None:
        """Has `callback` called when no event waits any more, or many have been taken, after those put off before."""
        self._put_off.append(callback)

    def hang_bell(self, call: Rpc) -> None:
        """Gives the loop a call, which may end, to ring with.

        An empty batch of operations, started on any call, is the one thing in grpcio that puts an event on a server's
        queue from another thread.
        """
        self._bell = call

    def run(self, is_over: Callable[[], bool]) -> None:
        """Takes events until `is_over`; what one of them or a callback raises is logged."""
        while not is_over():
            try:
                none_waits = not self._put_off and self._take_row()
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
        now_s = time.monotonic()
        until_s = now_s + _LONGEST_ROW_S
        while now_s < until_s:
            self._attend(now_s)
            event = poll(_AT_ONCE)
            if event.completion_type == _NO_EVENT:
                return True
            event.tag(event)
            # Kept until the next event, it would keep its call alive, too.
            del event
            now_s = time.monotonic()
        return False

    def _catch_up(self) -> None:
        """Does what was put off, but not for too long."""
        now_s = time.monotonic()
        until_s = now_s + _LONGEST_ROW_S
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
        with self._bell_lock:
            self._bell = None
        self.queue.shutdown()
        while self.queue.poll().completion_type != cygrpc.CompletionType.queue_shutdown:
            pass

    def _sleep(self) -> None:
        """Waits for an event, a callback or the time to wake, and takes the event."""
        self._asleep = True
        event = self.queue.poll(_AT_ONCE if self._callbacks else self._poll_until())
        self._asleep = False
        if event.completion_type != _NO_EVENT:
            event.tag(event)

    def _poll_until(self) -> float:
        longest_s = _SLICE_WITHOUT_BELL_S if self._bell is None else _LONGEST_POLL_S
        return time.time() + min(longest_s, max(0.0, self.wake_at_s - time.monotonic()))

    def _on_bell(self, _event: Event) -> None:
        # The callbacks are taken next; one that is added from now on rings again.
        self._rung = False
