"""A processor of which one process has a fixed part, evenly; all that it works with have the rest of the machine.

A control group's quota is settled at the scheduler's ticks, so that who has used it up stands still for as long as an
objective lasts (0.2 of a processor in periods of 6 ms: half of the pauses are longer than 7.7 ms, the longest 21). So
the processor is slowed down instead: a process of a higher class takes the other part of each millisecond. A control
group gives the one that is measured precedence over whatever else the machine does, and what it works with is of a
higher class than that: a generator that is kept waiting asks in bursts, for answers that are late already. Niceness
would not do, which counts among the processes of one session where the kernel shares out processors by session.

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
# Of what works with the one that is measured.
_PRECEDENCE = 1
_WHOLE = 1.0


@contextlib.contextmanager
def others_elsewhere(pids: Iterable[int]) -> Iterator[int]:
    """Keeps this process, those that it will start, and some others from one processor, which it gives.

    On the rest they come before whatever else the machine does.

    Raises:
        BenchmarkError: there is only one, or this user cannot give precedence.
    """
    everywhere = os.sched_getaffinity(0)
    processor = max(everywhere)
    others = everywhere - {processor}
    if not others:
        raise BenchmarkError("the machine has only one processor")
    usual = os.sched_getscheduler(0), os.sched_getparam(0)
    together = (os.getpid(), *pids)
    try:
        for pid in together:
            _keep_on(pid, others)
            _schedule(pid, os.SCHED_RR, os.sched_param(_PRECEDENCE))
        yield processor
    finally:
        for pid in together:
            with contextlib.suppress(OSError, BenchmarkError):
                _keep_on(pid, everywhere)
                _schedule(pid, *usual)


@contextlib.contextmanager
def slowed(pid: int, processor: int, part: float) -> Iterator[None]:
    """A process has this processor, and of each millisecond of it a part, as long as the context lasts.

    Raises:
        BenchmarkError: this user or this machine cannot set limits.
    """
    command = [sys.executable, "-m", "bench.rig.slow_processor", str(processor), str(1 - part)]
    # It was started by a process of a higher class, in which it is not to be.
    _schedule(pid, os.SCHED_OTHER, os.sched_param(0))
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


def _schedule(pid: int, policy: int, parameters: os.sched_param) -> None:
    try:
        for thread in _threads(pid):
            os.sched_setscheduler(thread, policy, parameters)
    except PermissionError as error:
        raise BenchmarkError(f"processes cannot be given precedence, which takes root: {error}") from error


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
