"""The inputs that a container is asked, and what is expected for them."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clipper_admin.exceptions import ClipperException
from clipper_admin.samples import packed

# Lengths differ, one is empty, and no two are the same.
_OWN: Mapping[str, Sequence[Any]] = {
    "bytes": [b"abc", b"\x00\xff\x80", b"", b"defgh"],
    "integers": [[1, 2, 3], [4, 5, 6], [], [-(2**31), 2**31 - 1], [7]],
    "floats": [[1.0, 2.5, 3.0], [4.0, 5.0, 6.5], [], [-0.5, 1e30], [7.0]],
    "doubles": [[1.0, 2.5, 3.0], [4.0, 5.0, 6.5], [], [-0.5, 1e300], [7.0]],
    "strings": ["one", "zwei Wörter", "", "🙂, 三"],
}
# Of another type than the key.
_OTHERS = {"bytes": "doubles", "integers": "strings", "floats": "strings", "doubles": "strings", "strings": "doubles"}
_LONGEST_TEXT = 60
_RELATIVE_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class Reply:
    """What a container says to one input.

    Attributes:
        output: the output; empty for a failure.
        failure: why there is none; None when there is one.
    """

    output: str
    failure: str | None = None

    def __str__(self) -> str:
        return f"the output {self.output!r:.100}" if self.failure is None else f"the failure {self.failure!r:.300}"


@dataclass(frozen=True, slots=True)
class Expectation:
    """What somebody who knows the model expects for an input: an output or a failure.

    Attributes:
        output: the output's text, or what it is as JSON.
        error: a part of the failure's message; None: an output is expected.
    """

    output: Any = None
    error: str | None = None

    def __str__(self) -> str:
        return f"the output {self.output!r:.100}" if self.error is None else f"a failure with {self.error!r:.300}"

    def is_met_by(self, reply: Reply) -> bool:
        """Whether that is what was expected; numbers may differ by a millionth, as languages print them differently."""
        if self.error is not None or reply.failure is not None:
            return self.error is not None and reply.failure is not None and self.error in reply.failure
        if isinstance(self.output, str):
            return reply.output == self.output
        try:
            return _alike(self.output, json.loads(reply.output))
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class Probe:
    """An input.

    Attributes:
        text: how people are told of it.
        data: its elements, packed.
        length: how many there are.
        expected: what is expected for it; None: nobody knows.
        alone: what the container says when it is asked nothing else; None: that is not known.
    """

    text: str
    data: bytes
    length: int
    expected: Expectation | None = None
    alone: Reply | None = None


def own(input_type: str) -> list[Probe]:
    """Inputs of a type, for any model; it may fail on each of them."""
    return [_probe(value, input_type) for value in _OWN[input_type]]


def of_another_type(input_type: str) -> tuple[str, list[Probe]]:
    """A type that a model of this one does not take, and inputs of it."""
    return _OTHERS[input_type], own(_OTHERS[input_type])


def input_types() -> Sequence[str]:
    """All of them."""
    return list(_OWN)


def read(file: Path, input_type: str) -> list[Probe]:
    """Reads inputs with what is expected for them.

    Args:
        file: a JSON object a line, with "input" as a client sends it, and "output" or "error".
        input_type: the type of the inputs.

    Raises:
        ClipperException: the file cannot be read, or a line is not like that.
    """
    try:
        lines = file.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ClipperException(f"'{file}' cannot be read: {error}") from error
    return list(_read(file, lines, input_type))


def _read(file: Path, lines: Sequence[str], input_type: str) -> Iterator[Probe]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            told = json.loads(line)
            if not isinstance(told, dict) or "input" not in told or ("output" in told) is ("error" in told):
                raise ClipperException('a line must be a JSON object with "input", and either "output" or "error"')
            if not isinstance(told.get("error", ""), str):
                raise ClipperException('"error" must be a text that is in the message of the failure')
            yield _probe(told["input"], input_type, Expectation(told.get("output"), told.get("error")))
        except (ValueError, ClipperException) as error:
            raise ClipperException(f"'{file}', line {number}: {error}") from error


def _probe(value: Any, input_type: str, expected: Expectation | None = None) -> Probe:
    sample = packed([value], input_type)
    text = repr(value)
    shortened = text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"
    return Probe(shortened, sample.data, sample.lengths[0], expected)


def _alike(expected: Any, found: Any) -> bool:
    if isinstance(expected, bool) or isinstance(found, bool):
        return expected is found
    if isinstance(expected, int | float) and isinstance(found, int | float):
        return math.isclose(expected, found, rel_tol=_RELATIVE_TOLERANCE)
    if isinstance(expected, list) and isinstance(found, list):
        return len(expected) == len(found) and all(map(_alike, expected, found))
    if isinstance(expected, dict) and isinstance(found, dict):
        return expected.keys() == found.keys() and all(_alike(expected[key], found[key]) for key in expected)
    return bool(expected == found)
