"""Outputs: from what a model returned to one text an input.

A model returns a list, a tuple or a numpy array (its rows, when it has more dimensions) with one output an input.
Text stays as it is and bytes are read as UTF-8. Lists, dicts, numpy arrays, booleans and None become JSON, so that REST
answers embed them as such. Anything else becomes what `str` makes of it: 6.6 is "6.6".
"""

import json
from typing import Any

import numpy as np

from services.common.errors import describe

# Leaves room, within the largest message, for what surrounds the outputs.
_MOST_BYTES = 120 * 1024 * 1024

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
        texts = _convert_at_once(outputs)
        failures: dict[int, str] = {}
        size_bytes = _size_bytes(texts)
    except BaseException:  # a conversion may run the model's code
        texts, failures = _convert_one_by_one(outputs)
        size_bytes = _size_bytes(texts)
    if size_bytes > _MOST_BYTES:
        return every_input(expected, f"The batch's outputs have {size_bytes} bytes; at most {_MOST_BYTES} can be sent")
    return texts, failures


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


def _size_bytes(texts: list[str]) -> int:
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
