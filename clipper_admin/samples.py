"""Sample inputs: values as a client sends them, packed as the services pack them on their way to a model."""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clipper_admin.exceptions import ClipperException
from clipper_admin.naming import input_type_name


class UnknownInputType(ClipperException):
    """There is no such input type."""


class Misnamed(ClipperException):
    """The elements of an input are not called as those of the model are."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Inputs of one type for one call of a model.

    Attributes:
        data: the inputs, one after the other: little-endian numbers, UTF-8 text or raw bytes.
        lengths: elements of each input; of a text, its bytes.
    """

    data: bytes
    lengths: tuple[int, ...]


def packed(values: Sequence[Any], input_type: str, names: Sequence[str] = ()) -> Sample:
    """Packs inputs.

    Args:
        values: sequences of numbers, for strings str, for bytes bytes or a str in base64.
        input_type: "bytes", "integers", "floats", "doubles", "strings" or one of their aliases.
        names: of an input's elements, in order, so that an input may be a dict by them.

    Raises:
        UnknownInputType: there is no such type.
        Misnamed: a dict has other keys.
        ClipperException: a value is not of it.
    """
    pack = _PACKERS.get(input_type_name(input_type))
    if pack is None:
        raise UnknownInputType(f"There is no input type '{input_type}'; there are {', '.join(_PACKERS)}")
    parts = [_part(pack, _in_order(value, names), input_type) for value in values]
    return Sample(b"".join(data for data, _ in parts), tuple(length for _, length in parts))


def _in_order(value: Any, names: Sequence[str]) -> Any:
    """An input as a list, which with names may be a dict."""
    if not names or not isinstance(value, Mapping):
        return value
    if set(value) != set(names):
        raise Misnamed(f"A sample input has {', '.join(map(str, value))}, but the model takes {', '.join(names)}")
    return [value[name] for name in names]


def _part(pack: Callable[[Any], tuple[bytes, int]], value: Any, input_type: str) -> tuple[bytes, int]:
    try:
        return pack(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ClipperException(f"A sample input must be one of the type '{input_type}': {error}") from None


def _numbers(dtype: str, *accepted: type) -> Callable[[Any], tuple[bytes, int]]:
    def pack(value: Any) -> tuple[bytes, int]:
        if isinstance(value, str | bytes) or not isinstance(value, Sequence | np.ndarray):
            raise TypeError(f"a list of numbers, not {value!r:.100}")
        for number in value:
            if not isinstance(number, accepted) or isinstance(number, bool):
                raise TypeError(f"a list of such numbers, without {number!r:.100}")
        return np.array(value, dtype=dtype).tobytes(), len(value)

    return pack


def _bytes(value: Any) -> tuple[bytes, int]:
    if isinstance(value, str):
        try:
            value = base64.b64decode(value, validate=True)
        except binascii.Error as error:
            raise ValueError(f"a str has to be base64 ({error})") from None
    if not isinstance(value, bytes):
        raise TypeError(f"bytes, not {value!r:.100}")
    return value, len(value)


def _string(value: Any) -> tuple[bytes, int]:
    if not isinstance(value, str):
        raise TypeError(f"a str, not {value!r:.100}")
    data = value.encode()
    return data, len(data)


_PACKERS: dict[str, Callable[[Any], tuple[bytes, int]]] = {
    "bytes": _bytes,
    "integers": _numbers("<i4", int, np.integer),
    "floats": _numbers("<f4", int, float, np.integer, np.floating),
    "doubles": _numbers("<f8", int, float, np.integer, np.floating),
    "strings": _string,
}
