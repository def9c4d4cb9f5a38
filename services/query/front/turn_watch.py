"""The turn watch: a thread that ends the process when the front's thread does not come back from something.

That thread serves all calls, and a selection policy that never returns would keep it for ever. Whoever owns the process
starts another. It is processor time that counts: on a machine that is far too busy a turn may take any time, and who
sleeps waits for something to happen.
"""

import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable

_LOG = logging.getLogger(__name__)
_PERIOD_S = 0.25
# The largest request takes a fraction of a second.
_LONGEST_TURN_S = 3.0


class TurnWatch:
    """Watches a thread that works in turns.

    Args:
        thread: to be watched; it must outlive the watch.
        turns: tells how many turns it has begun.
    """

    def __init__(self, thread: threading.Thread, turns: Callable[[], int]) -> None:
        self._watched = thread
        self._turns = turns
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="turn watch", daemon=True)

    def start(self) -> None:
        """Watches from now on; to be called once, when the other thread has started."""
        self._thread.start()

    def close(self) -> None:
        """Ends the thread."""
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        assert self._watched.ident is not None
        clock = time.pthread_getcpuclockid(self._watched.ident)
        turns, since_s = self._turns(), time.clock_gettime(clock)
        while not self._over.wait(_PERIOD_S):
            now_s = time.clock_gettime(clock)
            if self._turns() != turns:
                turns, since_s = self._turns(), now_s
            elif now_s - since_s > _LONGEST_TURN_S:
                self._end(self._watched.ident)

    def _end(self, ident: int) -> None:
        extra = {"processor_time_s": _LONGEST_TURN_S, "stack": traceback.format_stack(sys._current_frames()[ident])}
        _LOG.critical("the thread %s does not come back, and the process ends", self._watched.name, extra=extra)
        os._exit(os.EX_SOFTWARE)
