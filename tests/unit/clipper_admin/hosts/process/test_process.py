"""Keeping one process alive."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from clipper_admin.hosts.identity import ProcessIdentity
from clipper_admin.hosts.process import ports
from clipper_admin.hosts.process.process import ProcessSpec, ProcessState, ProcessStatus, SupervisedProcess, Tier

PATIENCE_S = 40.0
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
    deadline = time.monotonic() + PATIENCE_S
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


@pytest.mark.parametrize("exit_code", [0, 1, 5])
def test_a_process_that_dies_after_it_was_ready_is_never_given_up(tmp_path: Path, exit_code: int) -> None:
    [port] = ports.free_ports(1)
    serves_once = f"import socket; socket.create_server(('127.0.0.1', {port})).accept(); raise SystemExit({exit_code})"

    async def run() -> None:
        process = supervised(tmp_path, serves_once, give_up_after=2, ready_port=port)
        process.start()
        await until(lambda: process.status.deaths == 3)
        await until(lambda: process.status.state is not ProcessState.RESTARTING)
        assert process.status.state is ProcessState.RUNNING
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
        await asyncio.wait_for(process.stop(graceful=True), PATIENCE_S)
        assert process.status.state is ProcessState.STOPPED

    asyncio.run(run())


def test_without_grace_a_process_is_killed_at_once(tmp_path: Path) -> None:
    async def run() -> None:
        process = supervised(tmp_path, STUBBORN, stop_grace_s=10 * PATIENCE_S)
        process.start()
        await shows(tmp_path)
        await asyncio.wait_for(process.stop(graceful=False), PATIENCE_S)

    asyncio.run(run())


def test_a_process_takes_what_it_has_started_with_it(tmp_path: Path) -> None:
    async def run() -> None:
        process = supervised(tmp_path, PARENT)
        process.start()
        child = ProcessIdentity.of(int(await shows(tmp_path)))
        assert child is not None
        await process.stop(graceful=True)
        assert child.wait_until_gone(PATIENCE_S)

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


def sleeper() -> tuple[subprocess.Popen[bytes], ProcessIdentity]:
    """A process that somebody else has started."""
    process = subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    process.stdout.readline()
    identity = ProcessIdentity.of(process.pid)
    assert identity is not None
    return process, identity


def test_a_process_that_another_keeper_has_started_is_adopted_and_kept_alive(tmp_path: Path) -> None:
    async def run(other: subprocess.Popen[bytes], identity: ProcessIdentity) -> None:
        spec = ProcessSpec(name="it", command=(sys.executable, "-c", SLEEP), tier=Tier.QUERY)
        process = SupervisedProcess(spec, tmp_path / "it.log", lambda: None, identity)
        process.start()
        await until(lambda: process.status.state is ProcessState.RUNNING)
        assert process.status.pid == other.pid
        os.kill(other.pid, signal.SIGKILL)
        await until(lambda: process.status.pid not in (0, other.pid))
        assert (process.status.deaths, process.status.exit_code) == (1, None)
        await process.stop(graceful=True)

    other, identity = sleeper()
    with other:
        asyncio.run(run(other, identity))


def test_an_adopted_process_is_stopped_like_a_child(tmp_path: Path) -> None:
    async def run(identity: ProcessIdentity) -> None:
        spec = ProcessSpec(name="it", command=("true",), tier=Tier.QUERY, stop_grace_s=0.2)
        process = SupervisedProcess(spec, tmp_path / "it.log", lambda: None, identity)
        process.start()
        await until(lambda: process.status.state is ProcessState.RUNNING)
        await asyncio.wait_for(process.stop(graceful=True), PATIENCE_S)

    other, identity = sleeper()
    with other:
        asyncio.run(run(identity))
        assert other.wait() == -signal.SIGKILL


def test_what_a_process_left_behind_that_died_unkept_is_killed_before_it_is_started_again(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, start_new_session=True) as other:
        assert other.stdout is not None
        child = ProcessIdentity.of(int(other.stdout.readline()))
        identity = ProcessIdentity.of(other.pid)
        other.kill()
    assert child is not None
    assert child.is_alive()

    async def run() -> None:
        spec = ProcessSpec(name="it", command=(sys.executable, "-c", SLEEP), tier=Tier.QUERY)
        process = SupervisedProcess(spec, tmp_path / "it.log", lambda: None, identity)
        process.start()
        await shows(tmp_path)
        assert not child.is_alive()
        await process.stop(graceful=True)

    asyncio.run(run())


def test_a_process_whose_keeper_is_killed_before_it_is_written_down_never_becomes_its_program(tmp_path: Path) -> None:
    keeper = f"""
import asyncio, os, pathlib, signal, sys
from clipper_admin.hosts.process.process import SupervisedProcess
from clipper_admin.hosts.process.process import ProcessSpec, Tier

async def run():
    spec = ProcessSpec(name="it", command=(sys.executable, "-c", {SLEEP!r}), tier=Tier.QUERY)
    directory = pathlib.Path({str(tmp_path)!r})
    SupervisedProcess(spec, directory / "it.log", lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
    await asyncio.sleep(60)

asyncio.run(run())
"""
    assert subprocess.run([sys.executable, "-c", keeper], check=False).returncode == -signal.SIGKILL

    for process in ProcessIdentity.all_writing_to(tmp_path):
        assert process.wait_until_gone(PATIENCE_S)
    assert (tmp_path / "it.log").read_text() == ""


def test_a_process_gets_no_input_and_its_exit_code_is_its_own(tmp_path: Path) -> None:
    async def run() -> None:
        process = supervised(tmp_path, "import sys; print(repr(sys.stdin.read()), flush=True); sys.exit(7)")
        process.start()
        await until(lambda: process.status.deaths > 0)
        assert process.status.exit_code == 7
        await process.stop(graceful=True)

    asyncio.run(run())
    assert (tmp_path / "it.log").read_text().startswith("''\n")
