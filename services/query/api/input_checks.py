"""Inputs against the schema of their application, however they came: what they lack, and what is too much."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.common import tensors
from services.common.errors import SchemaMismatch
from services.common.input_schema import InputSchema, listed
from services.common.names import InputType
from services.common.records import Application

MISSING_ADVICE = "A missing value is NaN where an application of floats or doubles is registered with missing='nan'"
_LONGEST_SHOWN = 100


def check(inputs: Sequence[bytes], application: Application, schema: InputSchema) -> None:
    """Checks packed inputs of an application's type.

    Raises:
        SchemaMismatch: one is of another length, or an element is out of its range.
    """
    if schema.length is not None:
        _check_lengths(inputs, tensors.ELEMENT_BYTES[application.input_type], schema)
    if schema.is_bounded:
        _check_ranges(inputs, application, schema)


def arranged(inputs: Sequence[Any], application: Application, schema: InputSchema) -> list[Any]:
    """Inputs as they stand in JSON, each as an array of its elements.

    Raises:
        SchemaMismatch: one is an object whose keys are not the schema's names, or of other dimensions.
    """
    return [_arranged(value, application, schema, which(place, len(inputs))) for place, value in enumerate(inputs)]


def which(place: int, count: int) -> str:
    """An input among several, for people."""
    return "The input" if count == 1 else f"Input {place} of the batch, counted from 0,"


def _check_lengths(inputs: Sequence[bytes], width: int, schema: InputSchema) -> None:
    size = (schema.length or 0) * width
    for place, data in enumerate(inputs):
        if len(data) != size:
            raise SchemaMismatch(
                f"{which(place, len(inputs))} has {len(data) // width} elements, but the application takes "
                f"{schema.words}"
            )


def _check_ranges(inputs: Sequence[bytes], application: Application, schema: InputSchema) -> None:
    elements = np.frombuffer(b"".join(inputs), tensors.DTYPES[application.input_type])
    lower, upper = map(np.asarray, schema.bounds)
    if application.input_type is InputType.FLOATS:
        # 0.1 is within a bound of 0.1 in single precision, too.
        with np.errstate(over="ignore"):
            lower, upper = lower.astype(np.float32), upper.astype(np.float32)
    rows = elements.reshape(-1, len(lower))
    outside = ~((rows >= lower) & (rows <= upper))
    if application.missing == "nan":
        outside &= ~np.isnan(rows)
    if outside.any():
        _refuse_element(int(np.flatnonzero(outside)[0]), elements, inputs, application, schema)


def _refuse_element(
    place: int, elements: NDArray[np.generic], inputs: Sequence[bytes], application: Application, schema: InputSchema
) -> None:
    width = tensors.ELEMENT_BYTES[application.input_type]
    number, value = 0, elements[place].item()
    while place * width >= len(inputs[number]):
        place -= len(inputs[number]) // width
        number += 1
    lower, upper = (bounds[place if schema.names else 0] for bounds in schema.bounds)
    element = f"'{schema.names[place]}'" if schema.names else f"element {place}"
    advice = f". {MISSING_ADVICE}" if math.isnan(value) else ""
    raise SchemaMismatch(
        f"{which(number, len(inputs))} has {value} as {element}, which must be {_range(lower, upper)}{advice}"
    )


def _range(lower: float, upper: float) -> str:
    if math.isinf(upper):
        return f"at least {lower:g}"
    return f"at most {upper:g}" if math.isinf(lower) else f"from {lower:g} to {upper:g}"


def _arranged(value: Any, application: Application, schema: InputSchema, whose: str) -> Any:
    if isinstance(value, Mapping):
        return _by_name(value, application, schema, whose)
    if len(schema.shape) > 1 and isinstance(value, list) and value and isinstance(value[0], list):
        return _flat(value, schema.shape, whose)
    return value


def _by_name(value: Mapping[str, Any], application: Application, schema: InputSchema, whose: str) -> list[Any]:
    if not schema.names:
        raise SchemaMismatch(f"{whose} is an object, but the application's schema has no names. Send an array")
    for key in value:
        if key not in schema.places:
            unknown = key[:_LONGEST_SHOWN]
            raise SchemaMismatch(f"{whose} has '{unknown}', but the application takes {listed(schema.names)}")
    row = [value.get(name) for name in schema.names]
    if application.missing != "nan" and None in row:
        lacking = [f"'{name}'" for name, element in zip(schema.names, row, strict=True) if element is None]
        raise SchemaMismatch(f"{whose} lacks {listed(lacking)}. {MISSING_ADVICE}")
    return row


def _flat(value: Sequence[Any], shape: Sequence[int], whose: str) -> list[Any]:
    """The elements of nested arrays in one row."""
    row: list[Any] = [value]
    for size in shape:
        for array in row:
            if not isinstance(array, list) or len(array) != size:
                raise SchemaMismatch(f"{whose} is not of the shape {list(shape)}, neither nested nor in one array")
        row = [element for array in row for element in array]
    return row
