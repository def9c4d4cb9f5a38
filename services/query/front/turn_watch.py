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
    """Watches the thread that makes it, which works in turns; it must outlive the watch.

    Args:
        turns: tells how many turns have begun.
    """

    def __init__(self, turns: Callable[[], int]) -> None:
        self._turns = turns
        self._watched, self._name = threading.get_ident(), threading.current_thread().name
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="turn watch", daemon=True)

    def start(self) -> None:
        """Watches from now on; to be called once."""
        self._thread.start()

    def close(self) -> None:
        """Ends the thread."""
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        clock = time.pthread_getcpuclockid(self._watched)
        turns, since_s = self._turns(), time.clock_gettime(clock)
        while not self._over.wait(_PERIOD_S):
            now_s = time.clock_gettime(clock)
            if self._turns() != turns:
                turns, since_s = self._turns(), now_s
            elif now_s - since_s > _LONGEST_TURN_S:
                self._end()

    def _end(self) -> None:
        stack = traceback.format_stack(sys._current_frames()[self._watched])
        extra = {"processor_time_s": _LONGEST_TURN_S, "stack": stack}
        _LOG.critical("the thread %s does not come back, and the process ends", self._name, extra=extra)
        os._exit(os.EX_SOFTWARE)
