"""The sign of life of a process that serves: a byte four times a second, on a pipe that keeps nobody waiting.

What is frozen keeps its connections, and calls that meet it wait. A balancer takes all processes on the port for one,
and cannot route round it. So its parent ends it.

Silence alone condemns nobody: on a machine that is far too busy a process may have no turn for seconds. It is frozen
when it is silent though none of its threads waits for a processor or a disk: when it was stopped, or all of its threads
wait for each other.
"""

import contextlib
import os
import time
from pathlib import Path

from services.common.lifecycle import VitalThread

BEAT_S = 0.25
"""How often there is a byte, and how often whoever looks for it is to look."""

_MOST_MISSED = 3
_BYTES = 4096
# In proc(5): a thread that sleeps until something happens, or that was stopped.
_AT_REST = frozenset("ST")


class Heart:
    """Says that its process lives, on a thread, until that ends.

    Args:
        pipe: the descriptor to write to.
    """

    def __init__(self, pipe: int) -> None:
        os.set_blocking(pipe, False)
        self._pipe = pipe
        VitalThread(target=self._beat, name="heart").start()

    def _beat(self) -> None:
        # Who has not been heard of yet is not missed, so the first is there before anything is served.
        while True:
            # Full, or nobody is there to hear it.
            with contextlib.suppress(OSError):
                os.write(self._pipe, b"\0")
            time.sleep(BEAT_S)


class Pulse:
    """What is heard of a process, from its first sign of life on. For one thread.

    Attributes:
        its_end: the descriptor that the process is to write to.
    """

    def __init__(self) -> None:
        self._pipe, self.its_end = os.pipe()
        os.set_blocking(self._pipe, False)
        self._missed: int | None = None

    def is_lost(self, pid: int) -> bool:
        """Whether the process is frozen; to be asked every BEAT_S."""
        if self._is_heard():
            self._missed = 0
        elif self._missed is not None:
            self._missed += 1
        return self._missed is not None and self._missed >= _MOST_MISSED and _is_at_rest(pid)

    def close(self) -> None:
        """Hears nothing more."""
        os.close(self._pipe)
        os.close(self.its_end)

    def _is_heard(self) -> bool:
        try:
            return bool(os.read(self._pipe, _BYTES))
        except BlockingIOError:
            return False


def _is_at_rest(pid: int) -> bool:
    try:
        threads = [(thread / "stat").read_text() for thread in Path(f"/proc/{pid}/task").iterdir()]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return all(stat.rpartition(")")[2].split()[0] in _AT_REST for stat in threads)
