"""The container's process, which the kit starts and ends as a cluster does."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import Self

from clipper_admin.cluster.check import how_it_ended
from clipper_admin.exceptions import ClipperException

# What it prints goes there, so that what the kit prints can be read alone.
_STANDARD_ERROR = 2


class Program:
    """A command that runs a container, started any number of times; leaving the context kills what is left of it.

    Args:
        command: the program and its arguments.
        environment: what it is told beside what the kit itself was told.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._command = command
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._kill_all()

    def start(self, **environment: str) -> None:
        """Starts it, once what was left of an earlier start is killed; variables add to the environment.

        Raises:
            ClipperException: there is no such program.
        """
        self._kill_all()
        try:
            self._process = subprocess.Popen(
                self._command,
                env={**os.environ, **self._environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=_STANDARD_ERROR,
                start_new_session=True,
            )
        except OSError as error:
            raise ClipperException(f"'{self._command[0]}' cannot be started: {error.strerror}") from error

    @property
    def ending(self) -> str:
        """How it ended, as a predicate; empty: it runs."""
        exit_code = None if self._process is None else self._process.poll()
        return "" if exit_code is None else how_it_ended(exit_code)

    def terminate(self) -> None:
        """Asks it to end, as a cluster does."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kills the process, and not what that has started."""
        self._signal(signal.SIGKILL)

    def ends_within(self, patience_s: float) -> bool:
        """Whether it ends within so long."""
        try:
            if self._process is not None:
                self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _kill_all(self) -> None:
        """Kills the process and what it has started, and waits for it."""
        if self._process is None:
            return
        # It leads a group of its own, which outlives it while a member does.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None
