"""One process that is kept alive: started, started again when it dies unasked, and stopped for good when asked.

A process that dies is started again after a pause that doubles from one death to the next and is forgotten once the
process has lived for a while. Each runs in a session of its own, so that whatever it has started dies with it.
"""

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from clipper_admin.local.identity import ProcessIdentity
from clipper_admin.local.specification import ProcessSpec

_LOG = logging.getLogger(__name__)
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_EARLY_DEATH_S = 10.0
_CANNOT_START = 127


class ProcessState(StrEnum):
    """What has become of a process."""

    RUNNING = "running"
    RESTARTING = "restarting"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """What the supervisor tells about a process.

    Attributes:
        name: as in its specification.
        model_id: as in its specification.
        state: what has become of it.
        pid: of the running process, or 0.
        deaths: how often it ended unasked.
        exit_code: how it last did; negative: the signal that killed it.
    """

    name: str
    model_id: str
    state: ProcessState
    pid: int
    deaths: int
    exit_code: int | None

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The status whose fields `values` holds."""
        return cls(**{**values, "state": ProcessState(values["state"])})


class SupervisedProcess:
    """Keeps one process alive from `start` to `stop`; lives on the supervisor's event loop."""

    def __init__(self, spec: ProcessSpec, log_file: Path, on_change: Callable[[], None]) -> None:
        """Takes what to run.

        Args:
            spec: what to run.
            log_file: where its output is appended.
            on_change: called when another process runs for it, or none.
        """
        self.spec = spec
        self.identity: ProcessIdentity | None = None
        self._log_file = log_file
        self._on_change = on_change
        self._state = ProcessState.RESTARTING
        self._deaths = 0
        self._early_deaths = 0
        self._exit_code: int | None = None
        self._stop_asked = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    @property
    def status(self) -> ProcessStatus:
        """How it stands."""
        pid = 0 if self.identity is None else self.identity.pid
        return ProcessStatus(self.spec.name, self.spec.model_id, self._state, pid, self._deaths, self._exit_code)

    def start(self) -> None:
        """Starts it and keeps it alive from now on."""
        self._keeper = asyncio.create_task(self._keep_alive(), name=f"keeper of {self.spec.name}")

    async def stop(self, graceful: bool) -> None:
        """Ends it: SIGTERM, then after its grace SIGKILL; without `graceful` SIGKILL. Safe to repeat."""
        self._stop_asked.set()
        if self._keeper is None:
            return
        if graceful:
            self._signal(signal.SIGTERM)
            await asyncio.wait({self._keeper}, timeout=self.spec.stop_grace_s)
        if not self._keeper.done():
            if graceful:
                _LOG.warning("%s did not end within %s s", self.spec.name, self.spec.stop_grace_s)
            self._signal(signal.SIGKILL)
        await self._keeper

    async def _keep_alive(self) -> None:
        while not self._stop_asked.is_set():
            exit_code, lifetime_s = await self._live()
            if self._stop_asked.is_set():
                break
            self._record_death(exit_code, lifetime_s)
            if self._state is ProcessState.FAILED:
                return
            pause_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** (self._early_deaths - 1))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop_asked.wait(), pause_s)
        self._set_state(ProcessState.STOPPED)

    async def _live(self) -> tuple[int, float]:
        """One life: from start to end; returns the exit code and the seconds between."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            process = self._spawn()
        except OSError:
            _LOG.exception("%s cannot be started", self.spec.name)
            return _CANNOT_START, 0.0
        self.identity = ProcessIdentity.of(process.pid)
        self._set_state(ProcessState.RUNNING)
        exit_code = await _ended(process)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        self.identity = None
        return exit_code, loop.time() - started

    def _record_death(self, exit_code: int, lifetime_s: float) -> None:
        self._deaths += 1
        self._exit_code = exit_code
        self._early_deaths = self._early_deaths + 1 if lifetime_s < _EARLY_DEATH_S else 1
        given_up = self.spec.give_up_after is not None and self._early_deaths >= self.spec.give_up_after
        _LOG.warning("%s ended with %d%s", self.spec.name, exit_code, "; giving up" if given_up else "")
        self._set_state(ProcessState.FAILED if given_up else ProcessState.RESTARTING)

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self._log_file.open("ab") as log:
            return subprocess.Popen(
                self.spec.command,
                env={**os.environ, **self.spec.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _signal(self, number: signal.Signals) -> None:
        if self.identity is not None:
            self.identity.send(number)

    def _set_state(self, state: ProcessState) -> None:
        self._state = state
        self._on_change()


async def _ended(process: subprocess.Popen[bytes]) -> int:
    """Waits for a child without a thread, reaps it and returns its exit code."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    handle = os.pidfd_open(process.pid)
    loop.add_reader(handle, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(handle)
        os.close(handle)
    return process.wait()
