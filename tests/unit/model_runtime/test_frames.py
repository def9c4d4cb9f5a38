"""Objects of pandas are taken by their rows."""

import asyncio
import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from services.model_runtime.outcomes import Outcomes
from services.model_runtime.outputs import Outputs

pandas: Any = importlib.import_module("pandas")

_ROWS = [
    '{"label":"a","p":0.1,"n":1,"at":"2026-01-01T00:00:00","kind":"x","m":1,"q":0.5}',
    '{"label":"b","p":0.5,"n":2,"at":null,"kind":"y","m":null,"q":null}',
]


@pytest.fixture
def outputs() -> Iterator[Outputs]:
    with asyncio.Runner() as runner:
        yield Outputs(Outcomes(runner))


@pytest.fixture
def frame() -> Any:
    return pandas.DataFrame(
        {
            "label": ["a", "b"],
            "p": np.array([0.1, 0.5], np.float32),
            "n": [1, 2],
            "at": pandas.to_datetime(["2026-01-01", None]),
            "kind": pandas.Categorical(["x", "y"]),
            "m": pandas.array([1, None], dtype="Int64"),
            "q": [0.5, np.nan],
        }
    )


def test_a_data_frame_is_one_object_an_input(outputs: Outputs, frame: Any) -> None:
    assert outputs.to_texts(frame, 2) == (_ROWS, {})
    assert outputs.to_texts(frame[frame["n"] > 1], 1) == (_ROWS[1:], {})


def test_a_data_frame_whose_columns_have_no_names_is_one_list_an_input(outputs: Outputs) -> None:
    numbers = pandas.DataFrame(np.array([[0.1, 0.2], [0.3, 0.4]], np.float32))
    assert outputs.to_texts(numbers, 2) == (["[0.1,0.2]", "[0.3,0.4]"], {})


@pytest.mark.parametrize(
    ("column", "texts"),
    [
        ("label", ["a", "b"]),
        ("p", ["0.1", "0.5"]),
        ("at", ["2026-01-01T00:00:00", "null"]),
        ("m", ["1", "null"]),
        ("q", ["0.5", "nan"]),
    ],
)
def test_a_series_is_one_value_an_input(outputs: Outputs, frame: Any, column: str, texts: list[str]) -> None:
    assert outputs.to_texts(frame[column], 2) == (texts, {})
    assert outputs.to_texts(frame.set_index("kind")[column], 2) == (texts, {})


def test_within_an_output_a_frame_is_its_rows_a_row_an_object_and_a_column_a_list(outputs: Outputs, frame: Any) -> None:
    whole, row, column = f"[{','.join(_ROWS)}]", _ROWS[0], "[0.1,0.5]"
    assert outputs.to_texts([frame, frame.iloc[0], frame["p"]], 3) == ([whole, row, column], {})
    assert outputs.to_texts([{"row": frame.iloc[0], 1: frame["p"], "na": pandas.NA}], 1) == (
        [f'{{"row":{row},"1":{column},"na":null}}'],
        {},
    )


def test_what_has_two_values_of_one_name_fails_with_the_name(outputs: Outputs) -> None:
    texts, failures = outputs.to_texts([pandas.DataFrame([[1, 2]], columns=["a", "a"]), "good"], 2)
    assert texts == ["", "good"]
    assert failures[0].startswith("ValueError: Two columns of the output have the name 'a'; rename one")
