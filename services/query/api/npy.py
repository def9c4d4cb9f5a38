"""Arrays of numbers in numpy's format .npy, from strangers: nothing is unpickled, and no size is believed."""

import math
import re
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.common.errors import InvalidInput

_MAGIC = b"\x93NUMPY"
# By the major version: how many bytes say how long the header is.
_LENGTH_BYTES = {1: 2, 2: 4, 3: 4}
_LONGEST_HEADER = 4_096
_MOST_DIMENSIONS = 32
_LONGEST_SIZE = 18
_ENTRY = re.compile(rb"\s*'(\w+)'\s*:\s*('[^']*'|True|False|\([\d,\s]*\))\s*(?:,|(?=\}))")
_END = re.compile(rb"\s*\}\s*")
_NUMBERS = re.compile(r"[<>=|]?(?:[iu][1248]|f[248])")
# What the values of its keys begin with; false is like true.
_KINDS = {b"descr": b"'", b"fortran_order": b"T", b"shape": b"("}


class Header(NamedTuple):
    """What a file says of its array.

    Attributes:
        dtype: the numbers' type.
        is_fortran: whether the first dimension is that of neighbours, not the last.
        shape: the array's.
        start: where in the file its numbers begin.
    """

    dtype: "np.dtype[Any]"
    is_fortran: bool
    shape: tuple[int, ...]
    start: int


def header(file: bytes) -> Header:
    """The header of a file that has just as many bytes as it says.

    Raises:
        InvalidInput: it is no such file, or not one of numbers.
    """
    end, text = _header_text(file)
    entries = _entries(text)
    described = entries[b"descr"][1:-1].decode("ascii", "replace")
    if not _NUMBERS.fullmatch(described):
        raise InvalidInput(
            f"The .npy file has elements of type '{described}', but it must have integers or floats of at most 64 bits"
        )
    found = Header(np.dtype(described), entries[b"fortran_order"] == b"True", _shape(entries[b"shape"]), end)
    size = math.prod(found.shape) * found.dtype.itemsize
    if size != len(file) - end:
        raise InvalidInput(
            f"The header of the .npy file promises {size} bytes of numbers (shape {list(found.shape)} of {described}), "
            f"but there are {len(file) - end}"
        )
    return found


def array(file: bytes, described: Header) -> NDArray[Any]:
    """The array of a file with this header."""
    flat = np.frombuffer(file, described.dtype, offset=described.start)
    return flat.reshape(described.shape, order="F" if described.is_fortran else "C")


def _header_text(file: bytes) -> tuple[int, bytes]:
    if not file.startswith(_MAGIC) or len(file) <= len(_MAGIC) + 1:
        raise InvalidInput("The body is no .npy file, as numpy.save writes it: it does not begin with \\x93NUMPY")
    length_bytes = _LENGTH_BYTES.get(file[len(_MAGIC)])
    if length_bytes is None:
        raise InvalidInput(f"The .npy file is of version {file[len(_MAGIC)]}, but there are versions 1 to 3")
    start = len(_MAGIC) + 2 + length_bytes
    length = int.from_bytes(file[start - length_bytes : start], "little")
    if length > _LONGEST_HEADER:
        raise InvalidInput(
            f"The header of the .npy file has {length} bytes, but one of numbers has at most {_LONGEST_HEADER}"
        )
    return start + length, file[start : start + length]


def _entries(text: bytes) -> dict[bytes, bytes]:
    """The entries of the dictionary that a header is; Python would have to be believed for more than this grammar."""
    entries: dict[bytes, bytes] = {}
    place = 1 if text.startswith(b"{") else len(text)
    while found := _ENTRY.match(text, place):
        entries[found[1]] = found[2]
        place = found.end()
    kinds = {key: value[:1].replace(b"F", b"T") for key, value in entries.items()}
    if not _END.fullmatch(text, place) or kinds != _KINDS:
        raise InvalidInput("The header of the .npy file is not that of an array of numbers")
    return entries


def _shape(text: bytes) -> tuple[int, ...]:
    sizes = [size.strip() for size in text[1:-1].split(b",")]
    if sizes[-1] == b"":
        sizes.pop()
    if len(sizes) > _MOST_DIMENSIONS or not all(0 < len(size) <= _LONGEST_SIZE and size.isdigit() for size in sizes):
        raise InvalidInput("The header of the .npy file has a shape that no array has")
    return tuple(map(int, sizes))
