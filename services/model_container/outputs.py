"""Outputs: from what a model returned to one text an input.

A model returns a list, a tuple or a numpy array (its rows, when it has more dimensions) with one output an input.
Text stays as it is and bytes are read as UTF-8. Lists, dicts, numpy arrays, booleans and None become JSON, so that REST
answers embed them as such. Anything else becomes what `str` makes of it: 6.6 is "6.6".
"""

import json
from collections.abc import Iterable
from typing import Any

import numpy as np

from services.common.errors import describe
from services.common.limits import LARGEST_BATCH_ANSWER_BYTES

# What is in the message around an output or a failure, at most, and around them all.
_AROUND_EACH_BYTES = 32
_AROUND_ALL_BYTES = 64

# What `str` turns into the right text, so that a batch of these is converted without any code of ours for each.
_NUMBERS = frozenset({int, float, np.int32, np.int64, np.float32, np.float64})

_JSON_TYPES = (bool, np.bool_, type(None), list, dict, np.ndarray)


def to_texts(returned: object, expected: int) -> tuple[list[str], dict[int, str]]:
    """Checks and converts what a model returned for a batch of `expected` inputs.

    Returns:
        The outputs, as many as expected, and, by place, why outputs are missing; the texts there are empty.
    """
    if not isinstance(returned, list | tuple | np.ndarray) or getattr(returned, "ndim", 1) == 0:
        return _broken_contract(expected, f"an object of type {type(returned).__name__}")
    outputs = list(returned)
    if len(outputs) != expected:
        return _broken_contract(expected, f"{len(outputs)} outputs")
    try:
        return fit(_convert_at_once(outputs), {})
    except BaseException:  # a conversion may run the model's code
        return fit(*_convert_one_by_one(outputs))


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


def _convert_at_once(outputs: list[Any]) -> list[str]:
    kinds = set(map(type, outputs))
    if kinds == {str}:
        return outputs
    return list(map(str if kinds <= _NUMBERS else _to_text, outputs))


def _convert_one_by_one(outputs: list[Any]) -> tuple[list[str], dict[int, str]]:
    texts: list[str] = []
    failures: dict[int, str] = {}
    for index, output in enumerate(outputs):
        try:
            text = _to_text(output)
            _size_bytes([text])
        except BaseException as error:
            text, failures[index] = "", describe(error)
        texts.append(text)
    return texts, failures


def _size_bytes(texts: Iterable[str]) -> int:
    """How many bytes the texts are in UTF-8; a UnicodeEncodeError when one of them cannot be encoded."""
    return len("".join(texts).encode())


def _to_text(output: Any) -> str:
    if isinstance(output, str):
        return output
    if isinstance(output, bytes | bytearray):
        return output.decode()
    if isinstance(output, _JSON_TYPES):
        return _JSON.encode(output)
    return str(output)


def _to_json_type(value: Any) -> Any:
    """Stands in for what JSON does not know within a list or a dict."""
    if isinstance(value, np.longdouble):  # numpy has no narrower Python type for it
        return float(value)
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return _to_text(value)


_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_to_json_type)
