"""JSON: the text of one output. docs/models.md has the table; this is where it is carried out.

What orjson knows it writes; `_stand_in` says, step by step, what stands for anything else. Where orjson is at its end
(keys that are no text, numbers beyond 64 bits, NaN that is not to be null) the output is made plain first, value by
value. A type that has no obvious text is an error that says so; no `repr` ever reaches an answer.
"""

import dataclasses
import functools
import inspect
import math
from collections.abc import Callable, ItemsView, Iterator, KeysView, Mapping, Sequence, Set, ValuesView
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, NoReturn

import numpy as np
import orjson
from numpy.typing import NDArray

from services.model_runtime import frames
from services.model_runtime.settings import NonFinite

# Of numpy's types orjson takes numbers only from here: the rest it writes in ways of its own, NaT as 1970.
_NUMPY = orjson.OPT_SERIALIZE_NUMPY
_NATIVE = frozenset(np.dtype(code).type for code in ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8"))
_LARGEST_INT = 2**64 - 1
_SMALLEST_INT = -(2**63)
_NUMBERS = (int, float, np.integer, np.floating, Decimal)
_NAMES = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
_DOUBLE_BYTES = 8


class JsonText:
    """Writes outputs.

    Args:
        non_finite: what becomes of numbers that JSON does not have.
    """

    def __init__(self, non_finite: NonFinite = NonFinite.NULL) -> None:
        self._non_finite = non_finite

    def of(self, output: Any) -> str:
        """The text of an output: what is a text or a number as it is, anything else as JSON.

        Raises:
            TypeError: it holds something that has no obvious text.
            ValueError: it holds a number that is refused, or two keys with the same text.
        """
        if isinstance(output, str):
            return str.__str__(output)
        if isinstance(output, _NUMBERS) and not isinstance(output, bool | Enum | np.timedelta64):
            return self._number(output)
        if isinstance(output, BaseException):
            raise output
        encoded = self._encode(output)
        return str(orjson.loads(encoded)) if encoded.startswith(b'"') else encoded.decode()

    def _number(self, number: Any) -> str:
        if isinstance(number, Decimal) and number.is_finite():
            return str(number)
        if isinstance(number, float | np.floating | Decimal) and not math.isfinite(number):
            self._replacement(float(number))
            return str(float(number))
        return str(number)

    def _encode(self, output: Any) -> bytes:
        if self._non_finite is NonFinite.NULL:
            try:
                return orjson.dumps(output, _native_or_left, orjson.OPT_PASSTHROUGH_DATACLASS)
            except TypeError:
                pass  # what it was is found again, value by value, or turns out to have a text
        return orjson.dumps(self._plain(output))

    def _plain(self, value: Any) -> Any:
        """The value in terms of what orjson writes without further ado."""
        kind = type(value)
        if kind is str or kind is bool or value is None or kind is orjson.Fragment:
            return value
        if kind is int:
            return value if _SMALLEST_INT <= value <= _LARGEST_INT else orjson.Fragment(str(value))
        if kind is float:
            return value if math.isfinite(value) else self._replacement(value)
        if kind is dict:
            return self._object(value)
        if kind is list:
            return [self._plain(each) for each in value]
        if isinstance(value, np.ndarray):
            return self._array(value)
        return self._plain(list(value) if isinstance(value, Iterator) else _stand_in(value))

    def _object(self, items: dict[Any, Any]) -> dict[str, Any]:
        plain = {_key(key): self._plain(value) for key, value in items.items()}
        if len(plain) < len(items):
            texts = [_key(key) for key in items]
            twice = next(text for text in texts if texts.count(text) > 1)
            raise ValueError(f"Two keys of the output have the text '{twice}'; make them differ as texts")
        return plain

    def _array(self, array: NDArray[Any]) -> Any:
        if array is np.ma.masked:
            return None
        if array.ndim == 0:
            return self._plain(array[()])
        if _is_native(array) and np.isfinite(array).all():
            return _native(array)
        return [self._plain(each) for each in array]

    def _replacement(self, number: float) -> str | None:
        if self._non_finite is NonFinite.ERROR:
            name = _NAMES[str(number)]
            raise ValueError(f"The output holds {name}, and CLIPPER_NON_FINITE=error refuses it; return None instead")
        return _NAMES[str(number)] if self._non_finite is NonFinite.TEXT else None


def _key(key: Any) -> str:
    """The text of an object's key: that of the value, where that is one text or one number."""
    simple = key
    while not isinstance(simple, str):
        if simple is None or isinstance(simple, bool):
            return orjson.dumps(simple).decode()
        if type(simple) in (int, float, Decimal):
            return str(simple)
        if isinstance(simple, list | dict | tuple | Set | np.ndarray | Iterator):
            _refuse(key, "as the key of an object", "make the key a str")
        simple = _stand_in(simple)
    return str.__str__(simple)


def _native_or_left(value: Any) -> Any:
    """What orjson takes in place of the value, or TypeError: an iterator, which can be read once, is left for later."""
    if type(value) in _NATIVE:
        return orjson.Fragment(orjson.dumps(value, option=_NUMPY))
    if isinstance(value, Iterator):
        raise TypeError
    if not isinstance(value, np.ndarray):
        return _stand_in(value)
    if value.ndim == 0:
        return None if value is np.ma.masked else value[()]
    return _native(value) if _is_native(value) else list(value)


def _is_native(array: NDArray[Any]) -> bool:
    """Whether orjson can write its elements."""
    return array.dtype.type in _NATIVE and not np.ma.isMaskedArray(array)


def _native(array: NDArray[Any]) -> orjson.Fragment:
    """An array of numbers as orjson writes it, laid out as orjson takes it."""
    laid_out = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    return orjson.Fragment(orjson.dumps(laid_out, option=_NUMPY))


def _refuse(value: object, place: str, remedy: str) -> NoReturn:
    kind = type(value)
    name = (
        kind.__qualname__ if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}.{kind.__qualname__}"
    )
    raise TypeError(f"{name} has no obvious text {place}; {remedy}")


@functools.singledispatch
def _stand_in(value: Any) -> Any:
    """A simpler value with the same text, by its type; here for types that are known by what they have.

    Raises:
        TypeError: there is none.
    """
    kind = type(value)
    if frames.is_frame(value):
        return frames.contents(value)
    if frames.is_missing(value):
        return None
    if dataclasses.is_dataclass(kind):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if hasattr(kind, "__attrs_attrs__"):
        return {attribute.name: getattr(value, attribute.name) for attribute in kind.__attrs_attrs__}
    if hasattr(kind, "model_dump"):  # pydantic's
        return value.model_dump()
    if hasattr(kind, "toarray"):  # scipy's sparse ones
        return value.toarray()
    if hasattr(kind, "__array__"):
        return np.asarray(value)
    if inspect.isclass(value) or getattr(kind, "__str__", None) is object.__str__:
        _refuse(value, "as an output", "return a dict, a list, a number or a str that says what is meant")
    return str(value)


def _of_tuple(value: Any) -> Any:
    return value._asdict() if hasattr(value, "_fields") else list(value)


def _of_set(value: Set[Any]) -> Any:
    try:
        return sorted(value)
    except TypeError:
        _refuse(value, "as its elements cannot be put in order", "return a list")


def _of_time(value: Any) -> Any:
    is_none = value != value
    return None if is_none else value.isoformat()


def _of_duration(value: Any) -> Any:
    _refuse(value, "as an output", "return a number of seconds, as total_seconds() gives it")


def _of_decimal(value: Decimal) -> Any:
    return orjson.Fragment(str(value)) if value.is_finite() else float(value)


def _of_floating(value: Any) -> Any:
    """A number whose shortest text is that of the given precision."""
    return float(value) if value.itemsize >= _DOUBLE_BYTES else float(str(value))


def _of_datetime64(value: Any) -> Any:
    return None if np.isnat(value) else str(value)


def _of_void(value: Any) -> Any:
    return {name: value[name] for name in value.dtype.names} if value.dtype.names else value.tobytes()


def _of_exception(value: BaseException) -> Any:
    _refuse(value, "within an output", "raise it, or return it as the whole output of its input")


# Of types that fit, the most specific one decides.
_RULES: Sequence[tuple[Sequence[type[Any]], Callable[[Any], Any]]] = (
    ([str], str.__str__),
    ([int], int.__int__),
    ([float], float.__float__),
    ([bytes, bytearray, memoryview], lambda value: bytes(value).decode()),
    ([Sequence, KeysView, ItemsView, ValuesView], list),
    ([tuple], _of_tuple),
    ([Set], _of_set),
    ([Mapping], lambda value: dict(value.items())),
    ([Enum], lambda value: value.value),
    ([date, time], _of_time),
    ([timedelta, np.timedelta64], _of_duration),
    ([Decimal], _of_decimal),
    ([np.generic], lambda value: value.item()),
    ([np.floating], _of_floating),
    ([np.datetime64], _of_datetime64),
    ([np.void], _of_void),
    ([BaseException], _of_exception),
)
for _kinds, _rule in _RULES:
    for _kind in _kinds:
        _stand_in.register(_kind, _rule)
