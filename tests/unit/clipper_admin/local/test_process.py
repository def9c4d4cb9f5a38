"""Keeping one process alive."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from clipper_admin.local.identity import ProcessIdentity
from clipper_admin.local.process import ProcessState, ProcessStatus, SupervisedProcess
from clipper_admin.local.specification import ProcessSpec, Tier

SLEEP = "import time; print('up', flush=True); time.sleep(60)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
PARENT = (
    "import subprocess, sys, time; child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
    "print(child.pid, flush=True); time.sleep(60)"
)


def supervised(tmp_path: Path, program: str, **settings: object) -> SupervisedProcess:
    spec = ProcessSpec(name="it", command=(sys.executable, "-c", program), tier=Tier.QUERY, **settings)  # type: ignore[arg-type]
    return SupervisedProcess(spec, tmp_path / "it.log", on_change=lambda: None)


async def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def shows(tmp_path: Path) -> str:
    """Waits until the process has written something."""
    log = tmp_path / "it.log"
    await until(lambda: log.exists() and log.read_text().endswith("\n"))
    return log.read_text()


def test_a_process_gets_its_environment_and_its_output_is_logged(tmp_path: Path) -> None:
    async def run() -> None:
        program = "import os, time; print(os.environ['GREETING'], flush=True); time.sleep(60)"
        process = supervised(tmp_path, program, environment={"GREETING": "hello"})
        process.start()
        assert await shows(tmp_path) == "hello\n"
        assert process.status.state is ProcessState.RUNNING
        await process.stop(graceful=True)
        assert process.status == ProcessStatus("it", "", ProcessState.STOPPED, pid=0, deaths=0, exit_code=None)

    asyncio.run(run())


def test_a_killed_process_is_started_again(tmp_path: Path) -> None:
    async def run() -> None:
        process = supervised(tmp_path, SLEEP)
        process.start()
        await shows(tmp_path)
        first = process.status.pid
        os.kill(first, signal.SIGKILL)
        await until(lambda: process.status.pid not in (0, first))
        assert (process.status.deaths, process.status.exit_code) == (1, -signal.SIGKILL)
        await process.stop(graceful=True)

    asyncio.run(run())


def test_pauses_between_early_deaths_double(tmp_path: Path) -> None:
    async def run() -> None:
        process = supervised(tmp_path, "import time; print(time.time(), flush=True)")
        process.start()
        await until(lambda: process.status.deaths == 4)
        await process.stop(graceful=True)

    asyncio.run(run())
    starts = [float(line) for line in (tmp_path / "it.log").read_text().split()]
    gaps = [later - earlier for earlier, later in pairwise(starts)]
    assert [gap >= pause for gap, pause in zip(gaps, (0.1, 0.2, 0.4), strict=True)] == [True] * 3


def test_a_process_that_may_fail_is_given_up_after_so_many_early_deaths(tmp_path: Path) -> None:
    async def run() -> None:
        process = supervised(tmp_path, "raise SystemExit(3)", give_up_after=2)
        process.start()
        await until(lambda: process.status.state is ProcessState.FAILED)
        assert (process.status.deaths, process.status.exit_code) == (2, 3)
        await process.stop(graceful=True)

    asyncio.run(run())


def test_a_program_that_does_not_exist_counts_as_a_death(tmp_path: Path) -> None:
    async def run() -> None:
        spec = ProcessSpec(name="it", command=("/does/not/exist",), tier=Tier.QUERY, give_up_after=1)
        process = SupervisedProcess(spec, tmp_path / "it.log", on_change=lambda: None)
        process.start()
        await until(lambda: process.status.state is ProcessState.FAILED)
        assert process.status.exit_code == 127
        await process.stop(graceful=True)

    asyncio.run(run())


def test_a_process_that_ignores_sigterm_is_killed_after_its_grace(tmp_path: Path) -> None:
    async def run() -> None:
        process = supervised(tmp_path, STUBBORN, stop_grace_s=0.2)
        process.start()
        await shows(tmp_path)
        await asyncio.wait_for(process.stop(graceful=True), 5)
        assert process.status.state is ProcessState.STOPPED

    asyncio.run(run())


def test_without_grace_a_process_is_killed_at_once(tmp_path: Path) -> None:
    async def run() -> None:
        process = supervised(tmp_path, STUBBORN, stop_grace_s=60)
        process.start()
        await shows(tmp_path)
        await asyncio.wait_for(process.stop(graceful=False), 5)

    asyncio.run(run())


def test_a_process_takes_what_it_has_started_with_it(tmp_path: Path) -> None:
    async def run() -> None:
        process = supervised(tmp_path, PARENT)
        process.start()
        child = ProcessIdentity.of(int(await shows(tmp_path)))
        assert child is not None
        await process.stop(graceful=True)
        assert child.wait_until_gone(5)

    asyncio.run(run())


def test_stopping_is_safe_to_repeat_and_before_the_start(tmp_path: Path) -> None:
    async def run() -> None:
        process = supervised(tmp_path, SLEEP)
        await process.stop(graceful=True)
        process = supervised(tmp_path, SLEEP)
        process.start()
        await process.stop(graceful=True)
        await process.stop(graceful=True)

    asyncio.run(run())
