"""Files of numpy's, and what is no such file though it says so."""

import io
import math
from typing import Any

import numpy as np
import pytest

from services.common.errors import InvalidInput, LimitExceeded
from services.common.names import InputType
from services.common.records import Application
from services.query.api import npy, raw_inputs
from services.query.api.request_limits import RequestLimits

_LIMITS = RequestLimits(max_inputs=8)
_NPY = "application/x-npy"


def _saved(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def _file(header: str, data: bytes = b"", *, version: bytes = b"\1\0", length: int | None = None) -> bytes:
    """A file with a header of one's own."""
    text = header.encode("latin-1")
    bytes_of_length = 2 if version[0] == 1 else 4
    told = len(text) if length is None else length
    return b"\x93NUMPY" + version + told.to_bytes(bytes_of_length, "little") + text + data


def _read(file: bytes, input_type: InputType = InputType.DOUBLES) -> tuple[list[Any], bool]:
    """The inputs in a file, and whether they are a batch."""
    dtype = {InputType.DOUBLES: "<f8", InputType.FLOATS: "<f4", InputType.INTS: "<i4"}[input_type]
    inputs, is_batch = raw_inputs.read(_NPY, file, Application("app", input_type, "", 1), _LIMITS)
    return [np.frombuffer(data, dtype).tolist() for data in inputs], is_batch


@pytest.mark.parametrize("dtype", ["<f8", ">f8", "<f4", ">f2", "i1", "u1", ">i2", "<u4", ">i8", "u8"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("input_type", [InputType.DOUBLES, InputType.FLOATS])
def test_numbers_of_any_width_and_order_are_those_that_the_application_takes(
    dtype: str, order: Any, input_type: InputType
) -> None:
    rows = np.array([[1, 2, 3], [4, 5, 6]], dtype, order=order)
    assert _read(_saved(rows), input_type) == ([[1, 2, 3], [4, 5, 6]], True)
    assert _read(_saved(rows[0]), input_type) == ([[1, 2, 3]], False)


@pytest.mark.parametrize("dtype", ["i1", ">i2", "<i4", ">i8", "u8"])
def test_integers_are_those_within_32_bits(dtype: str) -> None:
    assert _read(_saved(np.array([1, 2], dtype)), InputType.INTS) == ([[1, 2]], False)


@pytest.mark.parametrize(
    ("array", "input_type", "says"),
    [
        (np.array([2**31]), InputType.INTS, "outside of 32 bits"),
        (np.array([-(2**31) - 1]), InputType.INTS, "outside of 32 bits"),
        (np.array([2**64 - 1], "u8"), InputType.INTS, "outside of 32 bits"),
        (np.array([1.0]), InputType.INTS, "takes integers"),
        (np.array([1e300]), InputType.FLOATS, "outside of the range of floats"),
        (np.array([True]), InputType.DOUBLES, "elements of type '|b1'"),
        (np.array([1j]), InputType.DOUBLES, "elements of type '<c16'"),
        (np.array(["a"]), InputType.DOUBLES, "elements of type '<U1'"),
        (np.array([{"a": 1}], dtype=object), InputType.DOUBLES, "elements of type '|O'"),
        (np.zeros(1, "<f8,<i4"), InputType.DOUBLES, "not that of an array of numbers"),
        (np.float64(1.0), InputType.DOUBLES, "has 0 dimensions"),
        (np.zeros((1, 1, 1)), InputType.DOUBLES, "has 3 dimensions"),
    ],
)
def test_what_the_application_does_not_take_is_refused_with_why(array: Any, input_type: InputType, says: str) -> None:
    with pytest.raises(InvalidInput, match=says.replace("|", r"\|")):
        _read(_saved(array), input_type)


def test_nan_and_infinity_are_what_they_are() -> None:
    [[nan, infinity]], _ = _read(_saved(np.array([np.nan, np.inf])), InputType.FLOATS)
    assert math.isnan(nan)
    assert infinity == float("inf")


@pytest.mark.parametrize(("shape", "count", "is_batch"), [((0,), 1, False), ((0, 4), 0, True), ((3, 0), 3, True)])
def test_inputs_may_be_empty_or_none(shape: tuple[int, ...], count: int, is_batch: bool) -> None:
    assert _read(_saved(np.zeros(shape))) == ([[]] * count, is_batch)


_SAYS = "{'descr': '<f8', 'fortran_order': False, 'shape': %s, }"


@pytest.mark.parametrize(
    "file",
    [
        b"",
        b"\x93NUMPY",
        b"\x93NUMPY\1",
        b"\x93NUMPY\1\0",
        b"PK\3\4" + b"\0" * 100,
        _file(_SAYS % "(1,)", b"\0" * 8, version=b"\0\0"),
        _file(_SAYS % "(1,)", b"\0" * 8, version=b"\x09\0"),
        _file(_SAYS % "(1,)", b"\0" * 7),
        _file(_SAYS % "(1,)", b"\0" * 9),
        _file(_SAYS % "(4611686018427387904,)"),
        _file(_SAYS % "(4294967296, 4294967296)"),
        _file(_SAYS % f"({'9' * 400},)"),
        _file(_SAYS % ("(" + "1," * 400 + ")"), b"\0" * 8),
        _file(_SAYS % "(-1,)"),
        _file(_SAYS % "(1.5,)"),
        _file(_SAYS % "(1, , 1)", b"\0" * 8),
        _file(_SAYS % "1", b"\0" * 8),
        _file(_SAYS % "__import__('os').abort()"),
        _file("{'descr': '<f8', 'fortran_order': False}"),
        _file("{'descr': '<f8', 'fortran_order': 'False', 'shape': (1,)}", b"\0" * 8),
        _file("{'descr': True, 'fortran_order': False, 'shape': (1,)}", b"\0" * 8),
        _file("{'descr': '<f99', 'fortran_order': False, 'shape': (1,)}", b"\0" * 8),
        _file("{'descr': 'f16', 'fortran_order': False, 'shape': (1,)}", b"\0" * 16),
        _file("{'descr': '\xff\n', 'fortran_order': False, 'shape': (1,)}", b"\0" * 8),
        _file("(" * 60_000, b"\0" * 8),
        _file("\xff" * 65_000, version=b"\1\0"),
        _file("{" + " " * 4_000, b"\0" * 8),
        _file(_SAYS % "(1,)", b"\0" * 8, version=b"\2\0", length=2**32 - 1),
        _file(_SAYS % "(1,)", b"\0" * 8, length=60_000),
        _file(_SAYS % "(1,)", b"\0" * 8, length=3),
    ],
)
def test_what_is_no_such_file_is_refused_whatever_it_says(file: bytes) -> None:
    with pytest.raises(InvalidInput, match=r"\.npy file"):
        _read(file)


@pytest.mark.parametrize("shape", ["(1000000000000000, 0)", "(9, 1)", "(9, 0)"])
def test_inputs_are_counted_before_anything_is_made_of_them(shape: str) -> None:
    file = _file(_SAYS % shape, b"\0" * 72 if shape == "(9, 1)" else b"")
    with pytest.raises(LimitExceeded):
        _read(file)
    with pytest.raises(LimitExceeded):
        raw_inputs.glance(_NPY, file, Application("app", InputType.DOUBLES, "", 1), _LIMITS)


def test_a_batch_of_none_may_be_as_wide_as_it_likes() -> None:
    assert _read(_file(_SAYS % "(0, 999999999999999999)")) == ([], True)


def test_keys_may_be_in_any_order() -> None:
    file = _file("{'shape':(2,),'descr':'>i2','fortran_order':True}\n", b"\0\1\0\2", version=b"\3\0")
    assert npy.array(file, npy.header(file)).tolist() == [1, 2]
