"""Processes under measurement: started here or found by a mark, read from /proc, and ended by their ids."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bench.rig.errors import BenchmarkError

REPOSITORY = Path(__file__).parents[2]
MARK = "CLIPPER_BENCH_MARK"
"""An environment variable: what is started under a value of it, whoever starts it, is found again by that value."""

_PROC = Path("/proc")
# As clock_getcpuclockid(3) makes a clock of a process id.
_CPU_CLOCK_OF_PROCESS = 2
# proc(5), /proc/pid/clear_refs
_RESET_PEAK = "5"
_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Marked:
    """A process that was found by its mark.

    Attributes:
        pid: its id.
        command: its arguments.
        environment: what it was started with.
    """

    pid: int
    command: tuple[str, ...]
    environment: Mapping[str, str]


class Process:
    """A running program; leaving the context kills it, since nothing here is worth a drain.

    Attributes:
        name: names its log file.
        pid: its id.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        log_file: Path,
        directory: Path = REPOSITORY,
    ) -> None:
        """Starts it in `directory`; `environment` is on top of this process's own."""
        self.name = name
        self._log_file = log_file
        with log_file.open("wb") as log:
            self._popen = subprocess.Popen(
                command,
                cwd=directory,
                env={**os.environ, **environment},
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.pid = self._popen.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._popen.send_signal(signal.SIGKILL)
        self._popen.communicate()

    @property
    def workers(self) -> list[int]:
        """The ids of the processes that it has started; its own when there are none."""
        return children(self.pid) or [self.pid]

    def has_logged(self, text: str) -> bool:
        """Whether its log has the text."""
        return text in self._log_file.read_text()

    def end(self, within_s: float) -> None:
        """Tells it to end, and waits; BenchmarkError when it does not."""
        self._popen.terminate()
        try:
            self._popen.wait(within_s)
        except subprocess.TimeoutExpired:
            raise BenchmarkError(f"{self.name} did not end within {within_s:.0f} s; see {self._log_file}") from None

    def wait_until(self, holds: Callable[[], bool], what: str, within_s: float = 30.0) -> None:
        """Returns once `holds`.

        Raises:
            BenchmarkError: the process ended, or the time did.
        """
        deadline_s = time.monotonic() + within_s
        while not holds():
            if self._popen.poll() is not None:
                raise BenchmarkError(f"{self.name} ended with {self._popen.returncode}; see {self._log_file}")
            if time.monotonic() > deadline_s:
                raise BenchmarkError(f"{what} did not happen within {within_s:.0f} s; see {self._log_file}")
            time.sleep(_POLL_S)


def marked(value: str) -> list[Marked]:
    """The processes of this user that were started under `value` of MARK."""
    found = (_read_marked(int(entry.name)) for entry in _PROC.iterdir() if entry.name.isdigit())
    return [each for each in found if each is not None and each.environment.get(MARK) == value]


def children(pid: int) -> list[int]:
    """The processes that this one has started."""
    threads = (_PROC / str(pid) / "task").iterdir()
    return [int(child) for thread in threads for child in (thread / "children").read_text().split()]


def is_alive(pid: int) -> bool:
    """Whether the process still runs."""
    return (_PROC / str(pid)).exists()


def cpu_s(pids: Iterable[int]) -> float:
    """Seconds of processor time that these processes have used together, in user and system mode.

    Raises:
        BenchmarkError: one of them has ended.
    """
    try:
        return sum(time.clock_gettime(~pid << 3 | _CPU_CLOCK_OF_PROCESS) for pid in pids)
    except OSError as error:
        raise BenchmarkError(f"a process under measurement has ended: {error}") from error


def resident_bytes(pid: int) -> int:
    """How much of a process is in memory; BenchmarkError when it has ended."""
    return _status_bytes(pid, "VmRSS")


def take_peak_resident_bytes(pid: int) -> int:
    """The most of a process that was in memory at a time since this was called last; likewise."""
    peak = _status_bytes(pid, "VmHWM")
    (_PROC / str(pid) / "clear_refs").write_text(_RESET_PEAK)
    return peak


def output_file(pid: int) -> Path:
    """Where a process writes what it has to say."""
    return (_PROC / str(pid) / "fd" / "1").readlink()


def working_directory(pid: int) -> Path:
    """Where a process keeps its files."""
    return (_PROC / str(pid) / "cwd").readlink()


def _status_bytes(pid: int, name: str) -> int:
    try:
        lines = (_PROC / str(pid) / "status").read_text().splitlines()
        # Who has ended and is not yet buried has none.
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))
    except (FileNotFoundError, ProcessLookupError, StopIteration) as error:
        raise BenchmarkError(f"process {pid} has ended under measurement") from error


def _read_marked(pid: int) -> Marked | None:
    directory = _PROC / str(pid)
    try:
        command, environment = (_strings(directory / file) for file in ("cmdline", "environ"))
    except OSError:  # Another user's, or gone.
        return None
    pairs = (variable.partition("=") for variable in environment)
    return Marked(pid, tuple(command), {name: value for name, _, value in pairs})


def _strings(file: Path) -> list[str]:
    return file.read_text(errors="replace").split("\0")[:-1]
