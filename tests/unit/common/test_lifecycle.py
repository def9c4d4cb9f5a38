"""How a process ends by its signals and its threads, in processes of their own, and how background tasks do not."""

import asyncio
import logging
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from services.common.lifecycle import BackgroundTasks

_REPOSITORY = Path(__file__).parents[3]
_PATIENCE_S = 60.0

_PREAMBLE = """
import os, signal, sys, threading
from services.common.lifecycle import StopSignal
stop = StopSignal()
def main_waits():
    while sys._current_frames()[threading.main_thread().ident].f_code.co_name != "wait":
        pass
"""


def _exit_code(script: str, *, first: str = "") -> int:
    program = first + _PREAMBLE + script
    return subprocess.run([sys.executable, "-c", program], cwd=_REPOSITORY, timeout=_PATIENCE_S).returncode


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_while_there_is_nothing_to_drain(number: signal.Signals) -> None:
    assert _exit_code(f"os.kill(os.getpid(), {number:d}); threading.Event().wait()") == 128 + number


def test_a_signal_that_another_thread_receives_starts_the_drain() -> None:
    # The kernel chooses any thread, and the main thread does not wake from its lock for it.
    assert (
        _exit_code("""
stop.drain()
def interrupted():
    main_waits()
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
    threading.Event().wait()
threading.Thread(target=interrupted, daemon=True).start()
stop.wait()
""")
        == 0
    )


def test_a_second_signal_cuts_the_drain_short() -> None:
    assert (
        _exit_code("""
stop.drain()
os.kill(os.getpid(), signal.SIGTERM)
stop.wait()
os.kill(os.getpid(), signal.SIGINT)
threading.Event().wait()
""")
        == 128 + signal.SIGINT
    )


def test_a_forked_child_dies_of_its_own_signals_without_its_parent() -> None:
    assert (
        _exit_code("""
stop.drain()
reader, writer = os.pipe()
child = os.fork()
if child == 0:
    os.write(writer, b"alive")
    threading.Event().wait()
os.read(reader, 5)
os.kill(child, signal.SIGTERM)
died_of = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
sys.exit(0 if died_of == -signal.SIGTERM and not stop._stopped.wait(0.2) else 1)
""")
        == 0
    )


# As when a pool of processes is done before each of them has had a turn.
_KILLED_AT_ONCE = "import os, signal, sys, time; os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), 15))"
_FORK = """
before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
child = os.fork()
if child == 0:
    time.sleep(10)
    os._exit(0)
died_of = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
unchanged = signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
"""


def test_so_does_one_that_is_hardly_forked() -> None:
    ends = "sys.exit(0 if died_of == -15 and unchanged and not stop._stopped.wait(0.2) else 1)"
    assert _exit_code(f"stop.drain(){_FORK}{ends}", first=_KILLED_AT_ONCE) == 0


def test_so_does_one_of_a_process_that_leaves_signals_to_its_parent() -> None:
    program = f"""{_KILLED_AT_ONCE}
from services.common.lifecycle import become_child_of
become_child_of(os.getppid()){_FORK}
sys.exit(0 if died_of == -15 and unchanged else 1)"""
    process = subprocess.run([sys.executable, "-c", program], cwd=_REPOSITORY, timeout=_PATIENCE_S)
    assert process.returncode == 0


_THREAD = """
import logging, sys, threading
from services.common.lifecycle import VitalThread
logging.basicConfig()
def target():
    {target}
thread = VitalThread(target, "heart")
thread.start()
thread.join()
"""


@pytest.mark.parametrize("end", ["sys.exit(0)", "raise KeyboardInterrupt", "raise RuntimeError", "raise GeneratorExit"])
def test_a_process_ends_with_a_thread_that_it_cannot_do_without(end: str) -> None:
    script = _THREAD.format(target=end) + "threading.Event().wait()"
    process = subprocess.run(
        [sys.executable, "-c", script], cwd=_REPOSITORY, timeout=_PATIENCE_S, capture_output=True, text=True
    )
    assert process.returncode == 70
    assert "the thread heart died" in process.stderr
    assert "in target" in process.stderr


def test_a_process_outlives_such_a_thread_that_is_done() -> None:
    script = _THREAD.format(target="pass")
    assert subprocess.run([sys.executable, "-c", script], cwd=_REPOSITORY, timeout=_PATIENCE_S).returncode == 0


_TASK = """
import asyncio, logging, sys
from services.common.lifecycle import BackgroundTasks
logging.basicConfig()
async def work():
    {work}
async def main():
    tasks = BackgroundTasks()
    tasks.start_vital("heart", work)
    await asyncio.sleep({lives_s})
    await tasks.close()
asyncio.run(main())
"""


@pytest.mark.parametrize("end", ["return", "sys.exit(0)", "raise RuntimeError", "raise asyncio.CancelledError"])
def test_a_process_ends_with_a_task_that_it_cannot_do_without(end: str) -> None:
    process = subprocess.run(
        [sys.executable, "-c", _TASK.format(work=end, lives_s=_PATIENCE_S)],
        cwd=_REPOSITORY,
        timeout=_PATIENCE_S,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 70
    assert "the background task heart ended" in process.stderr


def test_a_process_outlives_such_a_task_that_its_owner_ends() -> None:
    script = _TASK.format(work="await asyncio.Event().wait()", lives_s=0.1)
    assert subprocess.run([sys.executable, "-c", script], cwd=_REPOSITORY, timeout=_PATIENCE_S).returncode == 0


class Work:
    """Background work that ends as often as there are ends, and then runs for ever.

    Attributes:
        runs: how often it was begun.
    """

    def __init__(self, *ends: BaseException | None) -> None:
        self._ends = list(ends)
        self.runs = 0
        self.is_steady = asyncio.Event()

    async def run(self) -> None:
        """The work."""
        self.runs += 1
        await asyncio.sleep(0)
        if not self._ends:
            self.is_steady.set()
            await asyncio.Event().wait()
        end = self._ends.pop(0)
        if end is not None:
            raise end


@pytest.mark.parametrize(
    "end",
    [RuntimeError("oops"), SystemExit(0), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError(), None],
    ids=lambda end: "a return" if end is None else type(end).__name__,
)
def test_a_background_task_that_ends_is_reported_and_started_again(
    end: BaseException | None, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        ending, other = Work(end), Work()
        tasks = BackgroundTasks()
        tasks.start("ending", ending.run)
        tasks.start("other", other.run)
        await asyncio.wait_for(ending.is_steady.wait(), _PATIENCE_S)
        assert (ending.runs, other.runs) == (2, 1)
        await tasks.close()

    with caplog.at_level(logging.ERROR):
        asyncio.run(scenario())
    (record,) = caplog.records
    assert record.getMessage() == "the background task ending ended and is started again"
    assert record.exc_info is None if end is None else record.exc_info is not None and record.exc_info[1] is end


def test_a_background_task_that_ends_again_and_again_is_given_more_and_more_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario() -> None:
        work = Work(None, None, None)
        tasks = BackgroundTasks()
        tasks.start("restless", work.run)
        await asyncio.wait_for(work.is_steady.wait(), _PATIENCE_S)
        await tasks.close()

    asyncio.run(scenario())
    assert [vars(record)["after_s"] for record in caplog.records] == [0.1, 0.2, 0.4]


def test_background_tasks_end_with_their_owner_even_when_they_swallow_their_cancellation(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def swallow() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return

    async def scenario() -> None:
        tasks = BackgroundTasks()
        tasks.start("stubborn", swallow)
        await asyncio.sleep(0)
        await asyncio.wait_for(tasks.close(), _PATIENCE_S)
        await tasks.close()

    asyncio.run(scenario())
    assert caplog.records == []
