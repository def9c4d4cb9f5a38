"""Inputs in JSON, packed.

Numbers keep their kind: an integer is taken where doubles or floats are wanted, `1.0` is not taken for an integer.
Where an application takes missing values, null and "NaN" are NaN among floats and doubles.
"""

import binascii
import math
from array import array
from collections.abc import Callable, Sequence
from typing import Any

from services.common.names import InputType
from services.common.records import Application
from services.query.api import base64_text, input_checks
from services.query.api.json_documents import bad, name


def may_have_booleans(body: bytes) -> bool:
    """Whether true or false may be somewhere in a body."""
    # Cheaper than asking every element for its type, and wrong only towards caution.
    return b"true" in body or b"false" in body


def pack(inputs: Sequence[Any], application: Application, *, has_booleans: bool) -> list[bytes]:
    """The packed inputs.

    Args:
        inputs: as they stand in the JSON.
        application: whose they are; says of what type they are to be, and what else.
        has_booleans: whether true or false may be among their elements.

    Raises:
        InvalidInput: an input is not what the application takes.
    """
    schema = application.schema
    if schema is not None:
        inputs = input_checks.arranged(inputs, application, schema)
    input_type = application.input_type
    packer = _PACKERS[input_type]
    if has_booleans and input_type in _NUMBERS:
        _refuse_booleans(inputs, input_type)
    packed = [packer(value, application) for value in inputs]
    if schema is not None:
        input_checks.check(packed, application, schema)
    return packed


def _pack_bytes(value: Any, _application: Application) -> bytes:
    if not isinstance(value, str):
        raise bad(f"PredictionData of type {name(value)} is not of type base64-encoded string")
    try:
        return binascii.a2b_base64(value, strict_mode=bool(value))
    except ValueError:
        return base64_text.decode(value)


def _pack_string(value: Any, _application: Application) -> bytes:
    if not isinstance(value, str):
        raise bad(f"PredictionData of type {name(value)} is not of type string")
    return value.encode()


def _pack_ints(value: Any, application: Application) -> bytes:
    return _pack_numbers("i", value, "int", "an integer outside of 32 bits", application).tobytes()


def _pack_doubles(value: Any, application: Application) -> bytes:
    return _pack_numbers("d", value, "double", "an integer outside of the range of doubles", application).tobytes()


def _pack_floats(value: Any, application: Application) -> bytes:
    numbers = _pack_numbers("f", value, "float", "an integer outside of the range of floats", application)
    # JSON has no infinities and the parser makes none, but a double can become one in single precision.
    if not all(map(math.isfinite, numbers)) and any(map(math.isinf, numbers)):
        raise bad("Array input has a number outside of the range of floats")
    return numbers.tobytes()


def _pack_numbers(code: str, value: Any, element: str, overflow: str, application: Application) -> "array[Any]":
    if not isinstance(value, list):
        raise bad(f"PredictionData of type {name(value)} is not of type array of {element}s")
    try:
        return array(code, value)
    except OverflowError:
        raise bad(f"Array input has {overflow}") from None
    except TypeError:
        pass
    numbers = [math.nan if _is_missing(item) else item for item in value] if application.missing == "nan" else value
    wrong = next((item for item in numbers if _is_wrong_number(item, element)), None)
    if wrong is None and application.missing == "nan":
        return _pack_numbers(code, numbers, element, overflow, application)
    advice = f". {input_checks.MISSING_ADVICE}" if _is_missing(wrong) and element != "int" else ""
    raise bad(f"Array input of type {name(wrong)} is not of type {element}{advice}")


def _is_missing(item: Any) -> bool:
    return item is None or item == "NaN"


def _is_wrong_number(item: Any, element: str) -> bool:
    return not isinstance(item, int) and not (isinstance(item, float) and element != "int")


def _refuse_booleans(inputs: Sequence[Any], input_type: InputType) -> None:
    for value in inputs:
        if isinstance(value, list) and any(item is True or item is False for item in value):
            raise bad(f"Array input of type Bool is not of type {input_type.value.removesuffix('s')}")


_NUMBERS = frozenset({InputType.INTS, InputType.FLOATS, InputType.DOUBLES})
_PACKERS: dict[InputType, Callable[[Any, Application], bytes]] = {
    InputType.BYTES: _pack_bytes,
    InputType.INTS: _pack_ints,
    InputType.FLOATS: _pack_floats,
    InputType.DOUBLES: _pack_doubles,
    InputType.STRINGS: _pack_string,
}
