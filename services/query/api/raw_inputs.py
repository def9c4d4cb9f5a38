"""Inputs whose REST body is no JSON: the bytes of one, or numbers in numpy's format .npy.

A .npy file of one dimension, or of those that the application's schema has, is one input; one of a dimension more is a
batch. Numbers of whatever width and byte order become those of the application: integers of integers within 32 bits,
floats and doubles of any, rounded to their precision. NaN and infinities are what they are.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.common import tensors
from services.common.errors import InvalidInput, SchemaMismatch
from services.common.names import InputType
from services.common.records import Application
from services.query.api import input_checks, media_types, npy
from services.query.api.request_limits import RequestLimits

_INT32 = np.iinfo(np.int32)


def read(media_type: str, body: bytes, application: Application, limits: RequestLimits) -> tuple[list[bytes], bool]:
    """The packed inputs in a body, and whether they are a batch.

    Raises:
        UnsupportedMediaType: the application takes no such bodies.
        InvalidInput: it is malformed, or not what the application takes.
        LimitExceeded: it has too many inputs.
    """
    media_types.check_raw(media_type, application)
    if media_type == media_types.NPY:
        inputs, is_batch = _numbers(body, application, limits)
    else:
        inputs, is_batch = [_octets(body)], False
    if application.schema is not None:
        input_checks.check(inputs, application, application.schema)
    return inputs, is_batch


def glance(media_type: str, body: bytes, application: Application, limits: RequestLimits) -> tuple[int, bool]:
    """How many inputs a body has, and whether they are a batch; cheap.

    Raises:
        UnsupportedMediaType, InvalidInput, LimitExceeded: as `read` does, as far as that shows.
    """
    media_types.check_raw(media_type, application)
    if media_type == media_types.NPY:
        return _count(npy.header(body).shape, application, limits)
    return 1, False


def _octets(body: bytes) -> bytes:
    if not body:
        raise InvalidInput("The body is empty. It must be the bytes of one input")
    return body


def _numbers(body: bytes, application: Application, limits: RequestLimits) -> tuple[list[bytes], bool]:
    described = npy.header(body)
    count, is_batch = _count(described.shape, application, limits)
    data = _converted(npy.array(body, described), application.input_type).tobytes()
    width = len(data) // count if count else 0
    return [data[place * width : (place + 1) * width] for place in range(count)], is_batch


def _count(shape: Sequence[int], application: Application, limits: RequestLimits) -> tuple[int, bool]:
    """How many inputs an array of a shape is, and whether as a batch."""
    schema = application.schema
    dimensions = len(schema.shape) if schema is not None and schema.shape else 1
    if schema is not None and dimensions > 1 and tuple(shape[-dimensions:]) != schema.shape:
        raise SchemaMismatch(f"The .npy file is of shape {list(shape)}, but an input's shape is {list(schema.shape)}")
    if len(shape) not in (dimensions, dimensions + 1):
        raise SchemaMismatch(
            f"The .npy file has {len(shape)} dimensions. One input of the application has {dimensions}, and a batch "
            "has one more"
        )
    is_batch = len(shape) > dimensions
    count = shape[0] if is_batch else 1
    limits.check_inputs(count)
    return count, is_batch


def _converted(numbers: NDArray[Any], input_type: InputType) -> NDArray[Any]:
    target = tensors.DTYPES[input_type]
    if input_type is InputType.INTS:
        _check_integers(numbers)
    with np.errstate(over="ignore"):
        converted = numbers.astype(target)
    if numbers.dtype.kind == "f" and (np.isinf(converted) & ~np.isinf(numbers)).any():
        raise InvalidInput("The .npy file has a number outside of the range of floats")
    return converted


def _check_integers(numbers: NDArray[Any]) -> None:
    if numbers.dtype.kind == "f":
        raise InvalidInput(
            "The .npy file has floats, but the application takes integers. Convert it with astype('int32')"
        )
    if numbers.size and not (_INT32.min <= int(numbers.min()) and int(numbers.max()) <= _INT32.max):
        raise InvalidInput("The .npy file has an integer outside of 32 bits")
