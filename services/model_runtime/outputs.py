"""Outputs: from what a model returned to one text an input.

A model returns one output an input: as a list, a tuple, a numpy array (its rows, when it has more dimensions) or what
numpy makes one of, a pandas object (its rows), or a generator or a coroutine of these. docs/models.md has the table of
outputs and their texts.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from services.common.errors import describe
from services.common.limits import LARGEST_BATCH_ANSWER_BYTES
from services.model_runtime import frames
from services.model_runtime.json_text import JsonText
from services.model_runtime.outcomes import Outcomes
from services.model_runtime.settings import NonFinite

# What is in the message around an output or a failure, at most, and around them all.
_AROUND_EACH_BYTES = 32
_AROUND_ALL_BYTES = 64

# What `str` turns into the right text, so that a batch of these is converted without any code of ours for each.
_NUMBERS = frozenset({int, float, np.int32, np.int64, np.float32, np.float64})

_NO_NUMBERS: frozenset[type] = frozenset()


class Outputs:
    """Converts what one model returns, on its thread: much of that may be the model's own code.

    Args:
        outcomes: settles what is still to be computed.
        non_finite: what becomes of NaN and of infinite numbers.
    """

    def __init__(self, outcomes: Outcomes, non_finite: NonFinite = NonFinite.NULL) -> None:
        self._outcomes = outcomes
        self._json = JsonText(non_finite)
        # Each number has to be looked at where some are refused.
        self._numbers = _NO_NUMBERS if non_finite is NonFinite.ERROR else _NUMBERS

    def settled(self, returned: object) -> Any:
        """What a call comes to that returned a generator or a coroutine; raises whatever the model's code raises."""
        return self._outcomes.of(returned)

    def to_texts(self, returned: Any, expected: int) -> tuple[list[str], dict[int, str]]:
        """Checks and converts what a call for `expected` inputs came to.

        Returns:
            The outputs, as many as expected, and, by place, why outputs are missing; the texts there are empty.
        """
        outputs = _one_by_one(returned)
        if outputs is None:
            return _broken_contract(expected, f"an object of type {type(returned).__name__}")
        if len(outputs) != expected:
            return _broken_contract(expected, f"{len(outputs)} outputs")
        try:
            texts = self._convert_at_once(outputs)
            if texts is not None:
                return fit(texts, {})
        except ValueError:
            pass  # one of them has no text, and has to be found
        return fit(*self._convert_one_by_one(self._outcomes.of_each(outputs)))

    def _convert_at_once(self, outputs: list[Any]) -> list[str] | None:
        """The texts of outputs that need none of our code for each."""
        kinds = set(map(type, outputs))
        if kinds == {str}:
            return outputs
        return list(map(str, outputs)) if kinds <= self._numbers else None

    def _convert_one_by_one(self, outputs: list[Any]) -> tuple[list[str], dict[int, str]]:
        texts: list[str] = []
        failures: dict[int, str] = {}
        for index, output in enumerate(outputs):
            try:
                text = self._json.of(output)
                _size_bytes([text])
            except BaseException as error:
                text, failures[index] = "", describe(error)
            texts.append(text)
        return texts, failures


def _one_by_one(returned: Any) -> list[Any] | None:
    """The outputs as a list of our own; None when it is nothing that has one an input."""
    if frames.is_frame(returned):
        return frames.rows(returned)
    if hasattr(type(returned), "toarray"):  # scipy's sparse ones
        returned = returned.toarray()
    if not isinstance(returned, list | tuple | np.ndarray) and hasattr(type(returned), "__array__"):
        returned = np.asarray(returned)
    if not isinstance(returned, list | tuple | np.ndarray) or getattr(returned, "ndim", 1) == 0:
        return None
    return list(returned)


def fit(texts: list[str], failures: dict[int, str]) -> tuple[list[str], dict[int, str]]:
    """Outputs and failures as one message can hold them: where they are too much, the largest outputs become failures.

    Raises:
        UnicodeEncodeError: a text cannot be encoded.
    """
    size_bytes = _size_bytes(texts) + _size_bytes(failures.values()) + _AROUND_EACH_BYTES * len(texts)
    excess_bytes = size_bytes + _AROUND_ALL_BYTES - LARGEST_BATCH_ANSWER_BYTES
    return (texts, failures) if excess_bytes <= 0 else _without_largest(texts, failures, excess_bytes)


def _without_largest(texts: list[str], failures: dict[int, str], excess_bytes: int) -> tuple[list[str], dict[int, str]]:
    kept, failed = texts.copy(), failures.copy()
    sizes_bytes = [len(text.encode()) for text in texts]
    for place in sorted(range(len(texts)), key=sizes_bytes.__getitem__, reverse=True):
        if excess_bytes <= 0:
            break
        failed[place] = (
            f"The output has {sizes_bytes[place]} bytes, and the outputs of a batch have at most "
            f"{LARGEST_BATCH_ANSWER_BYTES}. Return less, or deploy the model with a smaller batch size"
        )
        kept[place] = ""
        excess_bytes -= sizes_bytes[place] - len(failed[place])
    return kept, failed


def every_input(count: int, message: str) -> tuple[list[str], dict[int, str]]:
    """The outputs and the failures of a batch of `count` inputs that all failed for the same reason."""
    return [""] * count, dict.fromkeys(range(count), message)


def _broken_contract(expected: int, came: str) -> tuple[list[str], dict[int, str]]:
    inputs = "1 input" if expected == 1 else f"{expected} inputs"
    return every_input(expected, f"The model must return a list with one output an input; for {inputs} came {came}")


def _size_bytes(texts: Iterable[str]) -> int:
    """How many bytes the texts are in UTF-8; a UnicodeEncodeError when one of them cannot be encoded."""
    return len("".join(texts).encode())
