"""Trying a model's function before it is deployed."""

import base64
import threading
from typing import Any

import numpy as np
import pytest

from clipper_admin import ClipperConnection
from clipper_admin.process_container_manager import ProcessContainerManager


def describe(inputs: Any) -> list[str]:
    return [f"{getattr(value, 'dtype', 'text')}:{len(value)}" for value in inputs]


def tried(query: dict[str, Any], input_type: str, func: Any = describe) -> Any:
    return ClipperConnection(ProcessContainerManager()).test_predict_function(query, func, input_type)


@pytest.mark.parametrize(
    ("input_type", "value", "seen"),
    [
        ("bytes", base64.b64encode(b"abc").decode(), "int8:3"),
        ("bytes", b"abc", "int8:3"),
        ("integers", [1, 2], "int32:2"),
        ("ints", [1, 2], "int32:2"),
        ("floats", [1.5, 2], "float32:2"),
        ("doubles", [1.5, 2.0, 3.0], "float64:3"),
        ("doubles", np.array([1.5]), "float64:1"),
        ("strings", "text", "text:4"),
    ],
)
def test_the_function_gets_what_a_container_would_give_it(input_type: str, value: Any, seen: str) -> None:
    assert tried({"input": value}, input_type) == [seen]
    assert tried({"input_batch": [value, value]}, input_type) == [seen, seen]


@pytest.mark.parametrize(
    ("input_type", "value"),
    [
        ("integers", [1.5]),
        ("doubles", ["1"]),
        ("doubles", "1"),
        ("strings", [1]),
        ("bytes", "no base64!"),
        ("ints", [True]),
    ],
)
def test_an_input_of_another_type_is_named_invalid(input_type: str, value: Any) -> None:
    assert tried({"input": value}, input_type) == "Invalid input type"


@pytest.mark.parametrize("query", [{}, {"inputs": [1]}, {"input_batch": 1.0}, {"input_batch": "text"}])
def test_a_query_of_another_shape_is_named_invalid(query: dict[str, Any]) -> None:
    assert tried(query, "strings") == "Invalid input type or JSON key"


def test_an_unknown_input_type_is_named_invalid() -> None:
    assert tried({"input": [1]}, "quaternions") == "Invalid input type or JSON key"


def test_a_function_that_cannot_be_pickled_is_named_so() -> None:
    lock = threading.Lock()

    assert tried({"input": [1]}, "ints", func=lambda inputs: [lock]) == (
        "Function does not properly serialize and reload"
    )
