"""Which process is meant: a pid alone may by now be somebody else's.

Linux only: a process is known by its pid, the boot and the time of its start, and is held by a pidfd while it is
signalled or waited for.
"""

import contextlib
import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_PROCESSES = Path("/proc")
_OUTPUT = "fd/1"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# Fields of /proc/[pid]/stat after the command's closing parenthesis: the state is the first, the start time the 20th.
_STATE_FIELD = 0
_START_TIME_FIELD = 19
_DEAD_STATES = ("Z", "X")


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """One process that lives or lived.

    Attributes:
        pid: its number.
        started: the boot's id and the clock ticks from then to the process's start.
    """

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """The identity of the process that has this pid now; None when there is none."""
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        if fields[_STATE_FIELD] in _DEAD_STATES:
            return None
        return cls(pid, f"{_boot()}:{fields[_START_TIME_FIELD]}")

    @classmethod
    def all_writing_to(cls, logs: Path) -> list[Self]:
        """The processes of this user whose output goes to a file in the directory `logs`, known to somebody or not."""
        wanted = logs.resolve()
        pids = (int(entry.name) for entry in _PROCESSES.iterdir() if entry.name.isdecimal())
        found = (cls.of(pid) for pid in pids if _output(pid).parent == wanted)
        return [identity for identity in found if identity is not None]

    def is_alive(self) -> bool:
        """Whether this very process still runs."""
        return ProcessIdentity.of(self.pid) == self

    def environment(self) -> dict[str, str]:
        """The variables that the process was started with; none when it is gone."""
        try:
            block = Path(f"/proc/{self.pid}/environ").read_bytes() if self.is_alive() else b""
        except (FileNotFoundError, ProcessLookupError):
            return {}
        pairs = (os.fsdecode(variable).partition("=") for variable in block.split(b"\0") if variable)
        return {name: value for name, _equals, value in pairs}

    def send(self, number: signal.Signals) -> None:
        """Signals the process; nothing happens when it is gone."""
        with self.held() as handle:
            if handle is not None:
                signal.pidfd_send_signal(handle, number)

    def wait_until_gone(self, timeout_s: float) -> bool:
        """Waits for the process to end; returns whether it did."""
        with self.held() as handle:
            if handle is None:
                return True
            poll = select.poll()
            poll.register(handle, select.POLLIN)
            return bool(poll.poll(timeout_s * 1000))

    def kill_group(self) -> None:
        """Kills the process and all that it started, or has left behind; it must have begun its process group."""
        # A number that is a group's is given to no new process; who has it now is this one, or the group is gone.
        if self.started.startswith(f"{_boot()}:") and ProcessIdentity.of(self.pid) in (None, self):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    @contextmanager
    def held(self) -> Iterator[int | None]:
        """Holds the process, so that its pid cannot become another's meanwhile.

        Gives a file descriptor that becomes readable when the process ends; None when it is gone.
        """
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            yield None
            return
        try:
            yield handle if self.is_alive() else None
        finally:
            os.close(handle)


def _boot() -> str:
    return _BOOT_ID.read_text().strip()


def _output(pid: int) -> Path:
    try:
        return Path(os.readlink(_PROCESSES / str(pid) / _OUTPUT))
    except OSError:  # it is gone, or somebody else's
        return Path()
