"""Tries a model's function on this machine as a container would call it: reloaded from its pickle, on arrays."""

import base64
import binascii
import logging
import pickle
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from clipper_admin import closures
from clipper_admin.naming import input_type_name

_LOG = logging.getLogger(__name__)
_INVALID_INPUT = "Invalid input type or JSON key"
_INVALID_TYPE = "Invalid input type"
_NOT_SERIALIZABLE = "Function does not properly serialize and reload"


class _Mismatch(Exception):
    """An input is not of the given type."""


def try_function(query: Mapping[str, Any], func: Callable[[Any], Any], input_type: str) -> Any:
    """What `func` returns for a query.

    Args:
        query: as in a REST request: {"input": X} or {"input_batch": [X, ...]}.
        func: the model's function.
        input_type: "bytes", "integers", "floats", "doubles", "strings" or one of their aliases.

    Returns:
        The function's list of outputs, or a sentence that says what is wrong with the query or the function.
    """
    inputs = _inputs(query)
    convert = _CONVERTERS.get(input_type_name(input_type))
    if inputs is None or convert is None:
        return _INVALID_INPUT
    try:
        model_inputs = [convert(value) for value in inputs]
    except _Mismatch:
        return _INVALID_TYPE
    try:
        reloaded = pickle.loads(closures.pickled(func).data)
    except Exception:
        _LOG.exception(_NOT_SERIALIZABLE)
        return _NOT_SERIALIZABLE
    return reloaded(model_inputs)


def _inputs(query: Mapping[str, Any]) -> Sequence[Any] | None:
    if "input" in query:
        return [query["input"]]
    batch = query.get("input_batch")
    return batch if isinstance(batch, Sequence) and not isinstance(batch, str | bytes) else None


def _integers(value: Any) -> Any:
    return _numbers(value, (int, np.integer), np.int32)


def _floats(value: Any) -> Any:
    return _numbers(value, (int, float, np.integer, np.floating), np.float32)


def _doubles(value: Any) -> Any:
    return _numbers(value, (int, float, np.integer, np.floating), np.float64)


def _numbers(value: Any, accepted: tuple[type, ...], dtype: type) -> Any:
    if isinstance(value, str | bytes) or not isinstance(value, Sequence | np.ndarray):
        raise _Mismatch
    if not all(isinstance(number, accepted) and not isinstance(number, bool) for number in value):
        raise _Mismatch
    return np.array(value, dtype=dtype)


def _bytes(value: Any) -> Any:
    if isinstance(value, str):
        try:
            value = base64.b64decode(value, validate=True)
        except binascii.Error:
            raise _Mismatch from None
    if not isinstance(value, bytes):
        raise _Mismatch
    return np.frombuffer(value, dtype=np.int8)


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise _Mismatch
    return value


_CONVERTERS: dict[str, Callable[[Any], Any]] = {
    "bytes": _bytes,
    "integers": _integers,
    "floats": _floats,
    "doubles": _doubles,
    "strings": _string,
}
