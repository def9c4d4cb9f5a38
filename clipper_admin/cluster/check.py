"""The check of a model before it is shipped, as the deployer sees it: what is asked, and what came of it.

The model is loaded, warmed up and, with a sample, asked once, in a process of its own with the environment that its
replicas will have (services/model_runtime/check.py). Each host runs that its own way and feeds `Findings`.
"""

import base64
import json
import math
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clipper_admin.exceptions import ClipperException
from clipper_admin.samples import Sample

MODULE = "services.model_runtime.check"
# It ends by itself, with the stack of what it hangs in; who does not do so in this time either is killed.
GRACE_S = 5.0
# What the model says when it was checked, and its threads and processes may still do.
PARTING_S = 2.0

_TIMEOUT = "CLIPPER_CHECK_TIMEOUT_S"
_TAIL_BYTES = 8_192
_TAIL_LINES = 30
_LONGEST_TIMEOUT_S = 86_400.0
_BY_SIGNAL = 128
_STEPS = {
    "": "before it was loaded",
    "loaded": "while it was loaded",
    "asked": "when it was given the sample input",
}


@dataclass(frozen=True, slots=True)
class Check:
    """What is to be checked.

    Attributes:
        input_type: what the model takes.
        sample: what it is asked; None: nothing.
        timeout_s: how long all of it may take, in seconds.
    """

    input_type: str
    sample: Sample | None
    timeout_s: float

    def request(self) -> bytes:
        """The check's standard input."""
        sample = self.sample and {"data": base64.b64encode(self.sample.data).decode(), "lengths": self.sample.lengths}
        return (
            json.dumps({"timeout_s": self.timeout_s, "input_type": self.input_type, "sample": sample}).encode() + b"\n"
        )


def timeout_s(usual_s: float, environment: Mapping[str, str] = os.environ) -> float:
    """How long a check may take, as CLIPPER_CHECK_TIMEOUT_S says, in seconds; `usual_s` where that says nothing.

    Raises:
        ClipperException: that is no such number.
    """
    text = environment.get(_TIMEOUT) or str(usual_s)
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= _LONGEST_TIMEOUT_S:
        raise ClipperException(
            f"{_TIMEOUT} must be a number of seconds above 0, {_LONGEST_TIMEOUT_S:.0f} at most, not {text!r}"
        )
    return seconds


class NotBegun(ClipperException):
    """A model could not even be looked at."""


class Findings:
    """What a check has said so far."""

    def __init__(self, check: Check) -> None:
        self._timeout_s = check.timeout_s
        self._began_s = time.monotonic()
        self._unfinished = b""
        self._step = ""
        self._verdict: dict[str, Any] | None = None
        self._printed = b""
        self._begun = False

    @property
    def complete(self) -> bool:
        """Whether nothing more is to be found out."""
        return self._verdict is not None

    def hear(self, report: bytes) -> None:
        """Takes what came on its standard output."""
        *lines, self._unfinished = (self._unfinished + report).split(b"\n")
        for line in lines:
            told = json.loads(line)
            self._begun = True
            self._step = told.get("step", self._step)
            if "step" not in told:
                self._verdict = told

    def note(self, printed: bytes) -> None:
        """Takes what came on its standard error; the end of it is kept."""
        self._printed = (self._printed + printed)[-_TAIL_BYTES:]

    def outputs(self, ending: str) -> list[Any]:
        """What the model answered.

        Args:
            ending: how the check ended, as a predicate; it does not matter when there was no time left.

        Raises:
            NotBegun: the check has not got as far as to the model.
            ClipperException: the model failed; with what a container would say of it, and the end of what it printed.
        """
        if time.monotonic() - self._began_s >= self._timeout_s:
            ending = f"had not ended after {self._timeout_s:g} s ({_TIMEOUT} sets how long a check may take)"
        verdict = self._verdict or {"failure": f"The model's process {ending} {_STEPS[self._step]}"}
        if "failure" in verdict:
            kind = ClipperException if self._begun else NotBegun
            raise kind(f"The model does not pass its check. {verdict['failure']}{self._tail()}")
        outputs: list[Any] = verdict["outputs"]
        return outputs

    def _tail(self) -> str:
        lines = self._printed.decode(errors="replace").splitlines()[-_TAIL_LINES:]
        return "\nThe end of what it printed:\n" + "\n".join(lines) if lines else ""


def how_it_ended(exit_code: int) -> str:
    """The predicate for an exit code, of a process or a container."""
    number = -exit_code if exit_code < 0 else exit_code - _BY_SIGNAL
    if number in signal.valid_signals():
        return f"was killed by {signal.Signals(number).name}"
    return f"ended with exit code {exit_code}"
