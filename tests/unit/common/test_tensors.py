"""Packed inputs: cut, joined, and as a model sees them."""

import random

import numpy as np
import pytest

from services.common import tensors
from services.common.errors import InvalidInput
from services.common.names import InputType

_DTYPES = {InputType.BYTES: "i1", InputType.INTS: "<i4", InputType.FLOATS: "<f4", InputType.DOUBLES: "<f8"}


def _arrays(inputs: tensors.ModelInputs) -> list[np.ndarray[tuple[int, ...], np.dtype[np.generic]]]:
    assert not isinstance(inputs, str)
    return [row for row in inputs if isinstance(row, np.ndarray)]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("input_type", InputType)
def test_what_is_cut_and_joined_again_is_the_same(input_type: InputType, seed: int) -> None:
    seeded = random.Random(seed)
    width = tensors.ELEMENT_BYTES[input_type]
    parts = [bytes(seeded.choices(range(32, 127), k=width * seeded.randrange(6))) for _ in range(seeded.randrange(9))]
    lengths = [len(part) // width for part in parts]
    assert tensors.split(input_type, b"".join(parts), lengths) == parts


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("input_type", _DTYPES)
def test_a_model_sees_the_numbers_that_were_packed(input_type: InputType, seed: int) -> None:
    seeded = np.random.default_rng(seed)
    rows = [seeded.integers(-100, 100, seeded.integers(0, 5)).astype(_DTYPES[input_type]) for _ in range(6)]
    data = b"".join(row.tobytes() for row in rows)
    seen = _arrays(tensors.model_inputs(input_type, data, [len(row) for row in rows]))
    assert len(seen) == len(rows)
    for row, packed in zip(seen, rows, strict=True):
        assert row.dtype == packed.dtype
        np.testing.assert_array_equal(row, packed)


@pytest.mark.parametrize("input_type", _DTYPES)
def test_inputs_of_one_length_are_one_matrix_that_the_model_may_write_to(input_type: InputType) -> None:
    data = np.arange(6).astype(_DTYPES[input_type]).tobytes()
    matrix = tensors.model_inputs(input_type, data, [3, 3])
    assert isinstance(matrix, np.ndarray)
    assert matrix.shape == (2, 3)
    matrix[0, 0] = 9
    assert np.frombuffer(data, _DTYPES[input_type])[0] == 0


def test_inputs_of_several_lengths_may_be_written_to_each_on_its_own() -> None:
    first, second = _arrays(tensors.model_inputs(InputType.INTS, np.arange(3, dtype="<i4").tobytes(), [1, 2]))
    first[:] = 9
    assert second.tolist() == [1, 2]


def test_empty_inputs_are_a_matrix_without_columns() -> None:
    matrix = tensors.model_inputs(InputType.DOUBLES, b"", [0, 0, 0])
    assert isinstance(matrix, np.ndarray)
    assert matrix.shape == (3, 0)


def test_nan_and_infinity_keep_their_bits() -> None:
    values = np.array([np.nan, np.inf, -np.inf, -0.0])
    (row,) = _arrays(tensors.model_inputs(InputType.DOUBLES, values.tobytes(), [4]))
    assert row.tobytes() == values.tobytes()


def test_bytes_are_signed_as_they_always_were() -> None:
    (row,) = _arrays(tensors.model_inputs(InputType.BYTES, b"\xff\x01", [2]))
    assert row.tolist() == [-1, 1]


def test_strings_are_texts() -> None:
    assert tensors.model_inputs(InputType.STRINGS, "é😀".encode(), [2, 0, 4]) == ["é", "", "😀"]


@pytest.mark.parametrize(
    ("input_type", "data", "lengths"),
    [
        (InputType.DOUBLES, b"a" * 8, [2]),
        (InputType.DOUBLES, b"a" * 9, [1]),
        (InputType.INTS, b"a" * 8, [1]),
        (InputType.BYTES, b"a", []),
        (InputType.STRINGS, b"", [1]),
        (InputType.DOUBLES, b"", [2**32 - 1] * 3),
    ],
)
def test_lengths_that_do_not_add_up_to_the_data_are_refused(
    input_type: InputType, data: bytes, lengths: list[int]
) -> None:
    with pytest.raises(InvalidInput, match=f"add up to {sum(lengths)} elements .* the data has {len(data)} bytes"):
        tensors.split(input_type, data, lengths)


@pytest.mark.parametrize(
    ("data", "lengths"),
    [(b"\xff", [1]), (b"ok\xc3", [3]), (b"\xed\xa0\x80", [3]), ("é".encode(), [1, 1]), (b"a\xc3\xa9b", [2, 2])],
)
def test_a_string_that_is_not_utf8_is_refused_even_if_only_the_cut_breaks_it(data: bytes, lengths: list[int]) -> None:
    with pytest.raises(InvalidInput, match="String input is not valid UTF-8"):
        tensors.split(InputType.STRINGS, data, lengths)
