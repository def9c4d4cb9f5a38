"""The clock watch: a thread that notices when somebody sets the wall clock.

grpcio's core waits until a time of the wall clock. When that is set back, it goes on waiting for as much longer, and
nothing but an event ends the wait.
"""

import threading
import time
from collections.abc import Callable

# For so long a timer may be late when the clock is set.
_PERIOD_S = 0.05
# Two readings, one after the other, may be this far apart on a busy machine; a clock that is merely adjusted never is.
_STEP_S = 0.02


class ClockWatch:
    """Compares the wall clock with the one that nobody can set.

    Args:
        wall_clock: returns its time, in seconds.
        on_set: called, on the watch's thread, soon after it was set.
    """

    def __init__(self, wall_clock: Callable[[], float], on_set: Callable[[], None]) -> None:
        self._wall_clock = wall_clock
        self._on_set = on_set
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="clock watch", daemon=True)

    def start(self) -> None:
        """Watches from now on; to be called once."""
        self._thread.start()

    def close(self) -> None:
        """Ends the thread."""
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        known_s = self._offset_s()
        while not self._over.wait(_PERIOD_S):
            offset_s = self._offset_s()
            if abs(offset_s - known_s) > _STEP_S:
                self._on_set()
            known_s = offset_s

    def _offset_s(self) -> float:
        return self._wall_clock() - time.monotonic()
