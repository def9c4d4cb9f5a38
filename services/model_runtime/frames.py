"""Frames: the rows of pandas objects, which are recognised without pandas being imported for it.

Values are those of the columns' own arrays, so that a column of float32 stays one.
"""

import sys
from typing import Any


def is_frame(value: object) -> bool:
    """Whether it is a DataFrame, a Series or an Index."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(value, pandas.DataFrame | pandas.Series | pandas.Index)


def is_missing(value: object) -> bool:
    """Whether it is the missing value of pandas."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and value is pandas.NA


def rows(frame: Any) -> list[Any]:
    """One value a row: of a DataFrame a dict by its columns' names, or a list where columns have none.

    Raises:
        ValueError: two columns have one name.
    """
    if frame.ndim == 1:
        return list(frame.array)
    columns = [list(frame.iloc[:, place].array) for place in range(frame.shape[1])]
    if isinstance(frame.columns, sys.modules["pandas"].RangeIndex):
        return [list(row) for row in zip(*columns, strict=True)]
    names = _unique(frame.columns, "columns")
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def contents(frame: Any) -> Any:
    """What stands for it within an output: its rows; of a Series that is labelled with texts, as a row is, a dict.

    Raises:
        ValueError: two columns have one name, or two values one label.
    """
    if isinstance(frame, sys.modules["pandas"].Series) and frame.index.inferred_type == "string":
        return dict(zip(_unique(frame.index, "labels"), frame.array, strict=True))
    return rows(frame)


def _unique(labels: Any, what: str) -> list[Any]:
    if not labels.is_unique:
        twice = labels[labels.duplicated()][0]
        raise ValueError(f"Two {what} of the output have the name {twice!r}; rename one, or return values only")
    return list(labels)
