"""Trying a model's function before it is deployed."""

import base64
import os
import threading
from pathlib import Path
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


def test_outputs_are_as_rest_embeds_them_but_for_texts() -> None:
    outputs = [1, 2.5, np.float32(0.1), "6.6", None, {"a": (1, 2)}, np.array([1, 2])]

    assert tried({"input_batch": ["x"] * 7}, "strings", func=lambda inputs: outputs) == [
        1,
        2.5,
        0.1,
        "6.6",
        None,
        {"a": [1, 2]},
        [1, 2],
    ]


def test_a_function_that_fails_is_told_as_a_container_would_tell_it() -> None:
    def fail(inputs: Any) -> list[str]:
        raise ValueError("too cold")

    assert "ValueError: too cold" in tried({"input": [1]}, "ints", func=fail)


def test_a_function_that_ends_its_process_leaves_this_one_alone() -> None:
    told = tried({"input": [1]}, "ints", func=lambda inputs: os._exit(3))

    assert "ended with exit code 3 when it was given the sample input" in told


def test_what_this_process_has_set_itself_does_not_travel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TRIED_UNIT", "metres")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words.txt").write_text("two words")

    def read(inputs: Any) -> list[str]:
        return [f"{os.environ['TRIED_UNIT']} {Path('words.txt').read_text()}"]

    connection = ClipperConnection(ProcessContainerManager())
    query = {"input": [1]}
    assert "env={'TRIED_UNIT': ...}" in connection.test_predict_function(query, read, "ints", files=["words.txt"])
    env = {"TRIED_UNIT": "feet"}
    assert "files=['words.txt']" in connection.test_predict_function(query, read, "ints", env=env)
    assert connection.test_predict_function(query, read, "ints", files=["words.txt"], env=env) == ["feet two words"]


def by_name(inputs: Any) -> list[str]:
    return [f"{age:g}: {income:g}" for age, income in zip(inputs["age"], inputs["income"], strict=True)]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"income": 2, "age": 1}, ["1: 2"]),
        ([1, 2], ["1: 2"]),
        ({"income": 2}, "A sample input has income, but the model takes age, income"),
        ({"income": 2, "age": 1, "size": 3}, "A sample input has income, age, size, but the model takes age, income"),
        ({"income": "much", "age": 1}, "Invalid input type"),
    ],
)
def test_a_function_is_tried_by_name(value: Any, told: object) -> None:
    connection = ClipperConnection(ProcessContainerManager())
    query = {"input": value}
    assert connection.test_predict_function(query, by_name, "doubles", input_names=["age", "income"]) == told


def test_an_input_of_another_length_is_told_with_the_names() -> None:
    connection = ClipperConnection(ProcessContainerManager())
    told = connection.test_predict_function({"input": [1]}, by_name, "doubles", input_names=["age", "income"])
    assert "The model takes inputs of 2 numbers (age, income), not of 1" in told
