"""Columns: the inputs of a batch by name, for a model that was deployed with names for them.

Beside the function's file there is `func.input_names.json` then: ["age", "income"].
"""

import importlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.common.errors import InvalidInput
from services.common.input_schema import listed
from services.common.tensors import ModelInputs

INPUT_NAMES_FILE = "func.input_names.json"

_Table = Callable[[NDArray[np.generic], Sequence[str]], Any]


def by_name(function: Callable[[Any], object], directory: Path) -> Callable[[ModelInputs], object]:
    """What takes rows of numbers for a model's function, and calls it with their columns if they have names.

    Args:
        function: the model's; where there are names it takes a `pandas.DataFrame`, or, where pandas is not installed, a
            dict of arrays by name, with one element an input.
        directory: the model directory.

    Returns:
        The function itself where there are no names. Else one that raises InvalidInput for a batch with an input that
        has another number of elements.
    """
    file = directory / INPUT_NAMES_FILE
    if not file.is_file():
        return function
    names: list[str] = json.loads(file.read_text(encoding="utf-8"))
    table = _table()
    return lambda inputs: function(table(_rows(inputs, names), names))


def _table() -> _Table:
    """What makes columns of rows, as the model's environment has it."""
    try:
        pandas = importlib.import_module("pandas")
    except ModuleNotFoundError as error:
        if error.name != "pandas":
            raise
        return lambda rows, names: dict(zip(names, rows.T, strict=True))
    return lambda rows, names: pandas.DataFrame(rows, columns=names, copy=False)


def _rows(inputs: ModelInputs, names: Sequence[str]) -> NDArray[np.generic]:
    if isinstance(inputs, np.ndarray) and inputs.shape[1] == len(names):
        return inputs
    lengths = ", ".join(map(str, sorted({len(each) for each in inputs})))
    raise InvalidInput(f"The model takes inputs of {len(names)} numbers ({listed(names)}), not of {lengths}")
