"""One process that is kept alive: started, started again when it dies unasked, and stopped for good when asked.

A process that dies is started again after a pause that doubles from one death to the next and is forgotten once the
process has lived for a while. One that may fail is given up when it dies again and again before it is ready. Each runs
in a session of its own, so that whatever it has started dies with it.

It outlives its keeper, and another one may adopt it. So that none is lost, a process becomes its program only once its
identity is written down: until then it is a shell that waits for a word, and ends when its keeper dies before that.
"""

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Any, Self

from clipper_admin.hosts.identity import ProcessIdentity
from clipper_admin.hosts.process.ports import LOOPBACK

_LOG = logging.getLogger(__name__)
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_EARLY_DEATH_S = 10.0
_PROBE_INTERVAL_S = 0.05
_CANNOT_START = 127
_ONCE_WRITTEN_DOWN = 'read -r _ && exec "$@" </dev/null'


class Tier(IntEnum):
    """The order of starting: a tier starts when those below that are awaited are ready, and stops before all below."""

    STORE = 0
    MANAGEMENT = 1
    REPLICA = 2
    QUERY = 3
    EDGE = 4

    @property
    def is_awaited(self) -> bool:
        """Whether the next tier waits for it: a model may take minutes to load, or fail, and the rest does without."""
        return self is not Tier.REPLICA


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """One process of a cluster.

    Attributes:
        name: unique in the cluster; names its log file.
        command: program and arguments.
        tier: when it starts and stops.
        environment: variables on top of the supervisor's own.
        ready_port: accepts connections on the loopback once the process is ready.
        stop_grace_s: from SIGTERM to SIGKILL.
        give_up_after: so many deaths in a row before it was ready or, without a port, within seconds, and it is not
            started again; None: never give up.
        model_id: "name:version" for a replica, "" for a service.
    """

    name: str
    command: tuple[str, ...]
    tier: Tier
    environment: Mapping[str, str] = field(default_factory=dict)
    ready_port: int = 0
    stop_grace_s: float = 10.0
    give_up_after: int | None = None
    model_id: str = ""

    def to_json(self) -> dict[str, Any]:
        """The specification as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The specification that `to_json` wrote."""
        return cls(**{**values, "command": tuple(values["command"]), "tier": Tier(values["tier"])})


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
        exit_code: how it last did; negative: the signal that killed it. None: it has not, or nobody knows how, because
            it was adopted and only who has started a process is told.
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

    def __init__(
        self, spec: ProcessSpec, log_file: Path, on_change: Callable[[], None], identity: ProcessIdentity | None = None
    ) -> None:
        """Takes what to run.

        Args:
            spec: what to run.
            log_file: where its output is appended.
            on_change: writes down `identity`; called when another process runs for it, or none.
            identity: which process ran for it last, kept by somebody else; adopted if it still lives.
        """
        self.spec = spec
        self.identity = identity
        self._log_file = log_file
        self._on_change = on_change
        self._state = ProcessState.RESTARTING
        self._deaths = 0
        self._early_deaths = 0
        self._unready_deaths = 0
        self._ready = asyncio.Event()
        self._exit_code: int | None = None
        self._stop_asked = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    @property
    def lives(self) -> bool:
        """Whether a process runs for it."""
        return self.identity is not None and self.identity.is_alive()

    @property
    def status(self) -> ProcessStatus:
        """How it stands."""
        pid = 0 if self.identity is None else self.identity.pid
        return ProcessStatus(self.spec.name, self.spec.model_id, self._state, pid, self._deaths, self._exit_code)

    def start(self) -> None:
        """Starts it, or adopts it, and keeps it alive from now on; safe to repeat."""
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep_alive(), name=f"keeper of {self.spec.name}")

    async def wait_until_ready(self) -> None:
        """Waits until it accepts connections on its port; one without a port is ready at once."""
        await self._ready.wait()

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

    async def _live(self) -> tuple[int | None, float]:
        """One life: from start or adoption to end; returns the exit code, if it is known, and the seconds between."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        adopted = self.identity if self.lives else None
        self._ready.clear()
        probe = asyncio.create_task(self._probe(), name=f"probe of {self.spec.name}")
        try:
            exit_code = await (self._childs_life() if adopted is None else self._adopted_life(adopted))
        except OSError:
            _LOG.exception("%s cannot be started", self.spec.name)
            return _CANNOT_START, 0.0
        finally:
            probe.cancel()
        self._kill_rest()
        return exit_code, loop.time() - began

    async def _adopted_life(self, adopted: ProcessIdentity) -> None:
        _LOG.info("%s is adopted", self.spec.name)
        self._set_state(ProcessState.RUNNING)
        with adopted.held() as handle:
            if handle is not None:
                await _readable(handle)

    async def _childs_life(self) -> int:
        self._kill_rest()
        child = self._spawn()
        handle = os.pidfd_open(child.pid)
        try:
            self.identity = ProcessIdentity.of(child.pid)
            self._set_state(ProcessState.RUNNING)
            _give_word(child)
            await _readable(handle)
        finally:
            os.close(handle)
        return child.wait()

    async def _probe(self) -> None:
        """Notices when it is ready."""
        while self.spec.ready_port:
            try:
                _reader, writer = await asyncio.open_connection(LOOPBACK, self.spec.ready_port)
            except OSError:
                await asyncio.sleep(_PROBE_INTERVAL_S)
            else:
                writer.close()
                break
        self._ready.set()

    def _kill_rest(self) -> None:
        """Kills what the last process has left behind."""
        if self.identity is not None:
            self.identity.kill_group()
        self.identity = None

    def _record_death(self, exit_code: int | None, lifetime_s: float) -> None:
        self._deaths += 1
        self._exit_code = exit_code
        self._early_deaths = self._early_deaths + 1 if lifetime_s < _EARLY_DEATH_S else 1
        was_ready = self._ready.is_set() if self.spec.ready_port else lifetime_s >= _EARLY_DEATH_S
        self._unready_deaths = 0 if was_ready else self._unready_deaths + 1
        given_up = self.spec.give_up_after is not None and self._unready_deaths >= self.spec.give_up_after
        _LOG.warning("%s %s%s", self.spec.name, how_it_ended(exit_code), "; giving up" if given_up else "")
        self._set_state(ProcessState.FAILED if given_up else ProcessState.RESTARTING)

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self._log_file.open("ab") as log:
            return subprocess.Popen(
                ("/bin/sh", "-c", _ONCE_WRITTEN_DOWN, "sh", *self.spec.command),
                env={**os.environ, **self.spec.environment},
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                bufsize=0,
            )

    def _signal(self, number: signal.Signals) -> None:
        if self.identity is not None:
            self.identity.send(number)

    def _set_state(self, state: ProcessState) -> None:
        self._state = state
        self._on_change()


def how_it_ended(exit_code: int | None) -> str:
    """What to tell of a process's end."""
    return "ended" if exit_code is None else f"ended with exit code {exit_code}"


def _give_word(child: subprocess.Popen[bytes]) -> None:
    if child.stdin is not None:
        # Somebody may have killed it by now.
        with child.stdin as word, contextlib.suppress(BrokenPipeError):
            word.write(b"\n")


async def _readable(handle: int) -> None:
    """Waits without a thread."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(handle, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(handle)
