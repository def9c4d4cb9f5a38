"""Inputs reach a model by name where they have names, and one of another length costs only itself."""

import asyncio
import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.common.names import InputType
from services.common.tensors import DTYPES
from services.model_runtime.columns import by_name
from services.model_runtime.outcomes import Outcomes
from services.model_runtime.outputs import Outputs
from services.model_runtime.prediction import Answer, Batch, Predictor

pandas: Any = importlib.import_module("pandas")
NAMES = ("age", "größe")
ROWS = [[1, 2], [3, 4], [5, 6]]


class _Model:
    """Keeps what it is called with."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def __call__(self, inputs: Any) -> list[str]:
        self.seen.append(inputs)
        return [f"{age:g} {size:g}" for age, size in zip(*(inputs[name] for name in NAMES), strict=True)]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "func.input_names.json").write_text(json.dumps(NAMES))
    return tmp_path


@pytest.fixture(params=["with pandas", "without pandas"])
def _pandas_or_not(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "without pandas":
        monkeypatch.setitem(sys.modules, "pandas", None)


def _predict(directory: Path, model: _Model, rows: Sequence[Sequence[float]], kind: InputType) -> Answer:
    data = b"".join(np.array(row, DTYPES[kind]).tobytes() for row in rows)
    predictor = Predictor(by_name(model, directory), Outputs(Outcomes(asyncio.Runner())))
    return predictor.predict(Batch(kind, data, [len(row) for row in rows]))


@pytest.mark.parametrize("kind", [InputType.INTS, InputType.FLOATS, InputType.DOUBLES])
def test_a_batch_is_a_frame_where_there_is_pandas(directory: Path, kind: InputType) -> None:
    model = _Model()
    assert _predict(directory, model, ROWS, kind).outputs == ["1 2", "3 4", "5 6"]
    (frame,) = model.seen
    expected = pandas.DataFrame({"age": [1, 3, 5], "größe": [2, 4, 6]}, dtype=DTYPES[kind])
    pandas.testing.assert_frame_equal(frame, expected)


@pytest.mark.parametrize("kind", [InputType.INTS, InputType.FLOATS, InputType.DOUBLES])
def test_it_is_a_dict_of_arrays_where_there_is_none(
    directory: Path, kind: InputType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    model = _Model()
    assert _predict(directory, model, ROWS, kind).outputs == ["1 2", "3 4", "5 6"]
    (columns,) = model.seen
    assert list(columns) == list(NAMES)
    for name, expected in {"age": [1, 3, 5], "größe": [2, 4, 6]}.items():
        assert columns[name].dtype == DTYPES[kind]
        assert columns[name].tolist() == expected


@pytest.mark.usefixtures("_pandas_or_not")
@pytest.mark.parametrize("wrong", [[], [1.0], [1.0, 2.0, 3.0]])
@pytest.mark.parametrize("place", range(5))
def test_an_input_of_another_length_fails_alone_and_says_what_the_model_takes(
    directory: Path, wrong: list[float], place: int
) -> None:
    rows = [[float(each), float(each)] for each in range(5)]
    rows[place] = wrong
    answer = _predict(directory, _Model(), rows, InputType.DOUBLES)
    assert answer.outputs == ["" if each == place else f"{each} {each}" for each in range(5)]
    said = f"The model takes inputs of 2 numbers (age, größe), not of {len(wrong)}"
    assert answer.failures == {place: f"InvalidInput: {said}"}


@pytest.mark.usefixtures("_pandas_or_not")
def test_a_batch_of_one_wrong_length_fails_as_a_whole_without_the_model(directory: Path) -> None:
    model = _Model()
    answer = _predict(directory, model, [[1, 2, 3], [4, 5, 6]], InputType.INTS)
    assert list(answer.failures) == [0, 1]
    assert model.seen == []


@pytest.mark.usefixtures("_pandas_or_not")
def test_inputs_are_the_models_to_change_and_fresh_for_each_trial(directory: Path) -> None:
    def halving(inputs: Any) -> list[str]:
        inputs["age"] /= 2
        if (inputs["age"] == 3).any():
            raise ValueError("cannot take 3")
        return [str(float(age)) for age in inputs["age"]]

    predictor = Predictor(by_name(halving, directory), Outputs(Outcomes(asyncio.Runner())))
    data = np.array([[2.0, 0.0], [6.0, 0.0], [8.0, 0.0]]).tobytes()
    answer = predictor.predict(Batch(InputType.DOUBLES, data, [2, 2, 2]))
    assert answer.outputs == ["1.0", "", "4.0"]


def test_without_names_the_function_is_called_itself(tmp_path: Path) -> None:
    model = _Model()
    assert by_name(model, tmp_path) is model


def test_pandas_that_lacks_a_module_is_not_taken_for_none(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pandas.py").write_text("import absent_module")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "pandas")
    with pytest.raises(ModuleNotFoundError, match="absent_module"):
        by_name(_Model(), directory)
