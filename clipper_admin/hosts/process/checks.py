"""Checks of models in processes of their own, which end before the check does, and with whoever asked for it."""

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from clipper_admin.cluster import check, plan
from clipper_admin.cluster.check import Check, Findings

_CHUNK_BYTES = 1 << 16
# Of what is left in a pipe when the process has ended; whoever else has it may go on writing for ever.
_MOST_LEFT_CHUNKS = 64


def outputs(model: Path, python: str, environment: Mapping[str, str], question: Check) -> list[Any]:
    """What a model answers the sample; without one nothing.

    Args:
        model: the directory of the model's files.
        python: the interpreter that has the model's packages.
        environment: what a replica finds in its environment beside its settings.
        question: what is to be checked.

    Raises:
        ClipperException: the model failed.
    """
    settings = plan.replica("model", "0", question.input_type, str(model), management="", address="127.0.0.1:0")
    findings = Findings(question)
    with subprocess.Popen(
        (python, "-P", "-m", check.MODULE),
        env={**environment, **settings},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        bufsize=0,
    ) as process:
        try:
            ended = _Conversation(process, findings, question).hold()
        finally:
            # Whatever the model has started ends with it.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return findings.outputs(check.how_it_ended(process.returncode) if ended else "hung")


class _Conversation:
    """What is said with the check's process."""

    def __init__(self, process: subprocess.Popen[bytes], findings: Findings, question: Check) -> None:
        self._process = process
        self._findings = findings
        self._unsent = question.request()
        self._deadline_s = time.monotonic() + question.timeout_s + check.GRACE_S
        self._ended = False
        self._selector = selectors.DefaultSelector()

    def hold(self) -> bool:
        """Returns when the process has ended, or has been waited for long enough; whether it has ended."""
        process, findings = self._process, self._findings
        handle = os.pidfd_open(process.pid)
        try:
            with self._selector:
                self._selector.register(handle, selectors.EVENT_READ, self._end)
                self._register(process.stdin, selectors.EVENT_WRITE, self._send)
                self._register(process.stdout, selectors.EVENT_READ, lambda pipe: self._read(pipe, findings.hear))
                self._register(process.stderr, selectors.EVENT_READ, lambda pipe: self._read(pipe, findings.note))
                while not self._ended and (left_s := self._deadline_s - time.monotonic()) > 0:
                    self._handle_events(left_s)
                # What it has written before its end.
                for _ in range(_MOST_LEFT_CHUNKS):
                    self._handle_events(0)
        finally:
            os.close(handle)
        return self._ended

    def _register(self, pipe: IO[bytes] | None, event: int, handle: Callable[[int], None]) -> None:
        if pipe is not None:
            os.set_blocking(pipe.fileno(), False)
            self._selector.register(pipe.fileno(), event, handle)

    def _handle_events(self, timeout_s: float) -> None:
        for key, _events in self._selector.select(timeout_s):
            key.data(key.fd)

    def _send(self, pipe: int) -> None:
        try:
            self._unsent = self._unsent[os.write(pipe, self._unsent) :]
        except BrokenPipeError:  # it has ended, and says itself why
            self._unsent = b""
        if not self._unsent:
            self._selector.unregister(pipe)

    def _read(self, pipe: int, take: Callable[[bytes], None]) -> None:
        if chunk := os.read(pipe, _CHUNK_BYTES):
            take(chunk)
        else:
            self._selector.unregister(pipe)
        if self._findings.complete:
            self._deadline_s = min(self._deadline_s, time.monotonic() + check.PARTING_S)

    def _end(self, handle: int) -> None:
        self._ended = True
        self._selector.unregister(handle)
