"""What a model returned becomes one text an input."""

from typing import Any

import numpy as np
import pytest

from services.common.limits import LARGEST_BATCH_ANSWER_BYTES
from services.model_container import convert
from services.model_container.outputs import to_texts
from services.model_container.prediction import Answer


class _Unprintable:
    def __str__(self) -> str:
        raise SystemExit("no text")


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ("kept as it is", "kept as it is"),
        (np.str_("kept"), "kept"),
        ("ä".encode(), "ä"),
        (6.6, "6.6"),
        (np.float64(6.6), "6.6"),
        (np.float32(6.6), "6.6"),
        (7, "7"),
        (np.int8(7), "7"),
        (10**400, "1" + 400 * "0"),
        (float("nan"), "nan"),
        ((1, 2), "(1, 2)"),
        (1 + 2j, "(1+2j)"),
        (True, "true"),
        (np.True_, "true"),
        (None, "null"),
        ({"label": "ä", "p": np.float64(0.5), "n": np.int64(3)}, '{"label":"ä","p":0.5,"n":3}'),
        ([1, (2.5, None), np.array([True, False])], "[1,[2.5,null],[true,false]]"),
        ([np.longdouble(0.5), b"raw", {1}], '[0.5,"raw","{1}"]'),
        (np.array([[1, 2], [3, 4]]), "[[1,2],[3,4]]"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_output_becomes_text(output: Any, text: str) -> None:
    assert to_texts([output], 1) == ([text], {})
    assert to_texts([output, "mixed with text"], 2) == ([text, "mixed with text"], {})


@pytest.mark.parametrize(
    ("returned", "texts"),
    [
        (("a", "b"), ["a", "b"]),
        (np.array([6.6, 1e-7]), ["6.6", "1e-07"]),
        (np.array([6.6, 0.1], np.float32), ["6.6", "0.1"]),
        (np.array([1, 2]), ["1", "2"]),
        (np.array([True, False]), ["true", "false"]),
        (np.array(["x", "y"]), ["x", "y"]),
        (np.array([b"x", b"y"]), ["x", "y"]),
        (np.array([None, {"a": 1}]), ["null", '{"a":1}']),
        (np.array([[0.25, 0.75], [1, 0]]), ["[0.25,0.75]", "[1.0,0.0]"]),
    ],
)
def test_tuples_and_arrays_are_lists_of_outputs(returned: Any, texts: list[str]) -> None:
    assert to_texts(returned, 2) == (texts, {})


@pytest.mark.parametrize(
    ("returned", "came"),
    [
        (None, "an object of type NoneType"),
        ("ab", "an object of type str"),
        ({0: "a", 1: "b"}, "an object of type dict"),
        (np.array("a"), "an object of type ndarray"),
        ((x for x in "ab"), "an object of type generator"),
        ([], "0 outputs"),
        (["a", "b", "c"], "3 outputs"),
        (np.zeros((1, 2)), "1 outputs"),
    ],
)
def test_anything_else_fails_every_input_naming_what_came(returned: Any, came: str) -> None:
    texts, failures = to_texts(returned, 2)
    message = f"The model must return a list with one output an input; for 2 inputs came {came}"
    assert texts == ["", ""]
    assert failures == {0: message, 1: message}


@pytest.mark.parametrize(
    ("output", "error"),
    [
        (b"\xff", "UnicodeDecodeError: "),
        ("\ud800", "UnicodeEncodeError: "),
        (["\ud800"], "UnicodeEncodeError: "),
        ({(1, 2): 3}, "TypeError: keys must be "),
        (_Unprintable(), "SystemExit: no text"),
    ],
    ids=["bytes", "surrogate", "surrogate in a list", "keys", "unprintable"],
)
def test_an_output_that_cannot_be_text_fails_its_own_input_only(output: Any, error: str) -> None:
    texts, failures = to_texts(["good", output, 5], 3)
    assert texts == ["good", "", "5"]
    assert list(failures) == [1]
    assert failures[1].startswith(error)


def _message_bytes(texts: list[str], failures: dict[int, str]) -> int:
    return len(convert.response(2**64 - 1, Answer(texts, failures, model_micros=2**64 - 1)))


def test_an_output_too_large_for_a_message_fails_its_own_input_only() -> None:
    texts, failures = to_texts(["a", "x" * LARGEST_BATCH_ANSWER_BYTES, "y"], 3)
    assert texts == ["a", "", "y"]
    assert failures == {
        1: "The output has 67108864 bytes, and the outputs of a batch have at most 67108864. Return less, or deploy "
        "the model with a smaller batch size"
    }


@pytest.mark.parametrize("letter", ["x", "é"])
def test_of_outputs_that_are_too_much_together_the_largest_fail_and_the_rest_fits(letter: str) -> None:
    mib = letter * (1024 * 1024 // len(letter.encode()))
    texts, failures = to_texts([mib * size for size in (1, 30, 2, 40, 20)], 5)
    assert list(failures) == [3]
    assert [text.count(letter) // len(mib) for text in texts] == [1, 30, 2, 0, 20]
    assert _message_bytes(texts, failures) <= LARGEST_BATCH_ANSWER_BYTES


def test_outputs_that_just_fit_are_all_sent() -> None:
    texts, failures = to_texts(["x" * 1024] * 61 * 1024, 61 * 1024)
    assert failures == {}
    assert _message_bytes(texts, failures) <= LARGEST_BATCH_ANSWER_BYTES


def test_the_models_own_list_is_not_kept() -> None:
    own = ["a", "b"]
    texts, _ = to_texts(own, 2)
    own[0] = "changed"
    assert texts == ["a", "b"]
