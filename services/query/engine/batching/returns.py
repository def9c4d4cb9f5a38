"""Who comes back: clients that ask again as soon as they are answered.

A batch that is answered brings them all at once, within much less time than the next batch takes. A replica that begins
with the first few serves the others after those, in a batch of their own, and so for ever: two batches go round where
one would do. One that waits for a moment has all of them in one batch.

It is learned how many come in that moment, by what came in the moments before; nobody is waited for who is not
expected.
"""

from services.query.engine.queue import TaskQueue

# What is expected is smoothed over about so many batches.
_SMOOTHED_OVER = 8
# Fewer are not worth a moment, nor is a small part of those who wait already.
_LEAST = 2.0
_LEAST_PART = 1 / 3


class Returns:
    """The moment after each batch of one replica."""

    __slots__ = ("_begun_s", "_ends_s", "_expected", "_is_done", "_is_open", "_waited")

    def __init__(self) -> None:
        self._expected = 0.0
        self._is_done = False
        self._is_open = False
        self._begun_s = 0.0
        self._ends_s = 0.0
        self._waited = 0

    def batch_done(self) -> None:
        """The replica has answered a batch; the next moment begins when it could be sent another one."""
        self._is_done = True

    def awaited_until_s(self, queue: TaskQueue, moment_s: float, now_s: float) -> float:
        """Until when an idle replica had better wait for more than what waits; `now_s` when it had better not.

        Args:
            queue: what waits; not empty.
            moment_s: for how long it may wait; 0: not at all.
            now_s: the time.
        """
        if self._is_done:
            self._close(queue)
            self._is_done = False
            self._is_open = moment_s > 0.0
            self._begun_s, self._ends_s = now_s, now_s + moment_s
            self._waited = len(queue)
        if not self._is_open or self._expected < max(_LEAST, _LEAST_PART * self._waited):
            return now_s
        if now_s < self._ends_s and len(queue) < self._waited + self._expected:
            return self._ends_s
        self._close(queue)
        return now_s

    def _close(self, queue: TaskQueue) -> None:
        """Learns who came in the moment; of those who were not waited for, all wait still."""
        if self._is_open:
            self._is_open = False
            came = sum(lane.arrived_by(self._ends_s) - lane.arrived_by(self._begun_s) for lane in queue.lanes)
            self._expected += (came - self._expected) / _SMOOTHED_OVER
