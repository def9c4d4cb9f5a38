"""Processes under measurement: started here, read from /proc, and ended by their ids whatever happens."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

from bench.errors import BenchmarkError

_REPOSITORY = Path(__file__).parents[1]
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
# proc(5), /proc/pid/clear_refs
_RESET_PEAK = "5"
_POLL_S = 0.05


class Process:
    """A running program; leaving the context kills it, since nothing here is worth a drain.

    Attributes:
        name: names its log file.
    """

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], log_file: Path) -> None:
        self.name = name
        self._log_file = log_file
        with log_file.open("wb") as log:
            self._popen = subprocess.Popen(
                command,
                cwd=_REPOSITORY,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._popen.send_signal(signal.SIGKILL)
        self._popen.wait()

    @property
    def cpu_s(self) -> float:
        """Seconds of processor time that it has used, in user and system mode."""
        return _cpu_s(self._proc("stat"))

    @property
    def workers(self) -> list[int]:
        """The ids of the processes that it has started; its own when there are none."""
        pid = self._popen.pid
        threads = Path(f"/proc/{pid}/task").iterdir()
        return [int(child) for thread in threads for child in (thread / "children").read_text().split()] or [pid]

    def has_logged(self, text: str) -> bool:
        """Whether its log has the text."""
        return text in self._log_file.read_text()

    def take_peak_resident_bytes(self) -> int:
        """The most of it that was in memory at a time since this was called last."""
        peak = next(line for line in self._proc("status").splitlines() if line.startswith("VmHWM:"))
        Path(f"/proc/{self._popen.pid}/clear_refs").write_text(_RESET_PEAK)
        return int(peak.split()[1]) * 1024

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

    def _proc(self, file: str) -> str:
        if self._popen.poll() is not None:
            raise BenchmarkError(f"{self.name} ended with {self._popen.returncode}; see {self._log_file}")
        return Path(f"/proc/{self._popen.pid}/{file}").read_text()


class Processes:
    """Several that are told of as one."""

    def __init__(self, processes: Sequence[Process]) -> None:
        self._processes = processes

    @property
    def cpu_s(self) -> float:
        """Seconds of processor time that all of them have used."""
        return sum(process.cpu_s for process in self._processes)


def cpu_s(pid: int) -> float:
    """Seconds of processor time that a process has used, in user and system mode."""
    return _cpu_s(Path(f"/proc/{pid}/stat").read_text())


def _cpu_s(stat: str) -> float:
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_A_SECOND
