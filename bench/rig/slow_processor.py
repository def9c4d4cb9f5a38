"""A processor of which one process has a fixed part, evenly; all others have the rest of the machine.

A control group's quota is settled at the scheduler's ticks, so that who has used it up stands still for as long as an
objective lasts (0.2 of a processor in periods of 6 ms: half of the pauses are longer than 7.7 ms, the longest 21). So
the processor is slowed down instead: a process of a higher class takes the other part of each millisecond. A control
group gives the one that is measured precedence over whatever else the machine does.

`python -m bench.rig.slow_processor PROCESSOR TAKEN` is what slows it down.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from bench.rig.cores import limited
from bench.rig.errors import BenchmarkError
from bench.rig.processes import REPOSITORY

_PERIOD_S = 0.001
_PRIORITY = 10
_WHOLE = 1.0


@contextlib.contextmanager
def others_elsewhere(pids: Iterable[int]) -> Iterator[int]:
    """Keeps this process, those that it will start, and some others from one processor, which it gives.

    Raises:
        BenchmarkError: there is only one.
    """
    everywhere = os.sched_getaffinity(0)
    processor = max(everywhere)
    others = everywhere - {processor}
    if not others:
        raise BenchmarkError("the machine has only one processor")
    for pid in (os.getpid(), *pids):
        _keep_on(pid, others)
    try:
        yield processor
    finally:
        for pid in (os.getpid(), *pids):
            with contextlib.suppress(OSError):
                _keep_on(pid, everywhere)


@contextlib.contextmanager
def slowed(pid: int, processor: int, part: float) -> Iterator[None]:
    """A process has this processor, and of each millisecond of it a part, as long as the context lasts.

    Raises:
        BenchmarkError: this user or this machine cannot set limits.
    """
    command = [sys.executable, "-m", "bench.rig.slow_processor", str(processor), str(1 - part)]
    # Where the benchmark was started in a higher class, for its own sake, the one that is measured is not to be in it.
    for thread in _threads(pid):
        os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))
    with limited(pid, _WHOLE), subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE) as taker:
        try:
            assert taker.stdout is not None
            if not taker.stdout.readline():
                raise BenchmarkError("a processor cannot be slowed down, which takes root")
            _keep_on(pid, {processor})
            yield
        finally:
            taker.kill()


def _keep_on(pid: int, processors: set[int]) -> None:
    for thread in _threads(pid):
        os.sched_setaffinity(thread, processors)


def _threads(pid: int) -> list[int]:
    return [int(thread.name) for thread in Path(f"/proc/{pid}/task").iterdir()]


def main() -> None:
    """Takes a part of a processor until it is killed."""
    processor, taken = int(sys.argv[1]), float(sys.argv[2])
    os.sched_setaffinity(0, {processor})
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_PRIORITY))
    print("begun", flush=True)
    begun_s = time.perf_counter()
    while True:
        while time.perf_counter() < begun_s + taken * _PERIOD_S:
            pass
        begun_s = max(begun_s + _PERIOD_S, time.perf_counter())
        time.sleep(max(0.0, begun_s - time.perf_counter()))


if __name__ == "__main__":
    main()
