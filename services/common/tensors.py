"""Packed inputs: one buffer of inputs of one type, and the arrays that a model sees in it.

The layout is that of `clipper.v1.Inputs`: little-endian numbers, UTF-8 text or raw bytes, one input after the other,
with the number of elements of each. Cutting a buffer into inputs and joining inputs into a batch are slices and joins
of bytes; no element is touched on the way from the client to the model.
"""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from services.common.errors import InvalidInput
from services.common.names import InputType

ELEMENT_BYTES = {
    InputType.BYTES: 1,
    InputType.INTS: 4,
    InputType.FLOATS: 4,
    InputType.DOUBLES: 8,
    InputType.STRINGS: 1,
}
DTYPES: dict[InputType, np.dtype[np.generic]] = {
    InputType.BYTES: np.dtype("i1"),
    InputType.INTS: np.dtype("<i4"),
    InputType.FLOATS: np.dtype("<f4"),
    InputType.DOUBLES: np.dtype("<f8"),
}

ModelInputs = NDArray[np.generic] | list[NDArray[np.generic]] | list[str]


def split(input_type: InputType, data: bytes, lengths: Sequence[int]) -> list[bytes]:
    """Cuts a packed buffer into its inputs.

    Args:
        input_type: the type of every input.
        data: the packed inputs.
        lengths: elements of each input, in order.

    Raises:
        InvalidInput: the lengths do not add up to the buffer, or a string is not UTF-8.
    """
    width = ELEMENT_BYTES[input_type]
    if len(lengths) == 1 and lengths[0] * width == len(data) and input_type is not InputType.STRINGS:
        return [data]
    if sum(lengths) * width != len(data):
        raise InvalidInput(
            f"The inputs' lengths add up to {sum(lengths)} elements of {width} bytes, "
            f"but the data has {len(data)} bytes"
        )
    if input_type is InputType.STRINGS:
        _check_utf8(data)
    if len(lengths) == 1:
        return [data]
    inputs = [data[start:end] for start, end in _spans(lengths, width)]
    if input_type is InputType.STRINGS:
        for text in inputs:
            _check_utf8(text)
    return inputs


def model_inputs(input_type: InputType, data: bytes | bytearray, lengths: Sequence[int]) -> ModelInputs:
    """The inputs as a model function takes them.

    Args:
        input_type: the type of every input.
        data: the packed inputs.
        lengths: elements of each input, in order.

    Returns:
        For numbers and bytes (as int8) one writable array of shape (inputs, elements) when all have the same length,
        else a list of arrays of shape (elements,); all are views of one copy of the buffer. For strings a list of str.
    """
    if input_type is InputType.STRINGS:
        return [data[start:end].decode() for start, end in _spans(lengths, 1)]
    # A copy, because models normalise in place and a view of immutable bytes is read-only.
    flat: NDArray[np.generic] = np.frombuffer(bytearray(data), dtype=DTYPES[input_type])
    if lengths and lengths.count(lengths[0]) == len(lengths):
        return flat.reshape(len(lengths), lengths[0])
    return [flat[start:end] for start, end in _spans(lengths, 1)]


def _spans(lengths: Sequence[int], width: int) -> Iterator[tuple[int, int]]:
    ends = itertools.accumulate(length * width for length in lengths)
    start = 0
    for end in ends:
        yield start, end
        start = end


def _check_utf8(data: bytes) -> None:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(f"String input is not valid UTF-8: {error.reason} at byte {error.start}") from None
