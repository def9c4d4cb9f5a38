"""What a model returned becomes one text an input."""

import asyncio
import importlib
import re
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
import pytest

from services.common.limits import LARGEST_BATCH_ANSWER_BYTES
from services.model_container import convert
from services.model_runtime.outcomes import Outcomes
from services.model_runtime.outputs import Outputs
from services.model_runtime.prediction import Answer
from services.model_runtime.settings import NonFinite

sparse: Any = importlib.import_module("scipy.sparse")


def to_texts(returned: Any, expected: int, non_finite: NonFinite = NonFinite.NULL) -> tuple[list[str], dict[int, str]]:
    with asyncio.Runner() as runner:
        outputs = Outputs(Outcomes(runner), non_finite)
        return outputs.to_texts(outputs.settled(returned), expected)


async def _later(value: Any) -> Any:
    await asyncio.sleep(0)
    return value


async def _failing() -> Any:
    raise ValueError("later")


async def _one_after_the_other(*values: Any) -> AsyncIterator[Any]:
    for value in values:
        yield value


class _Unprintable:
    def __str__(self) -> str:
        raise SystemExit("no text")


class _Spoken:
    def __str__(self) -> str:
        return "as it says"


class _Plain:
    pass


class _Colour(Enum):
    RED = "red"


class _Level(int, Enum):
    HIGH = 3


class _Named(NamedTuple):
    label: str
    score: float


@dataclass
class _Record:
    label: str
    scores: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class _Holder:
    record: _Record
    _private: int = 1


class _Arraylike:
    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.array([[0.5, 0.25], [1, 2]], np.float32)


_STAMP = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
_UUID = UUID("12345678-1234-5678-1234-567812345678")
_SINGLES = np.array([0.1, 6.6], np.float32)


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ("kept as it is", "kept as it is"),
        (np.str_("kept"), "kept"),
        ("ä".encode(), "ä"),
        (bytearray(b"raw"), "raw"),
        (6.6, "6.6"),
        (np.float64(6.6), "6.6"),
        (np.float32(6.6), "6.6"),
        (np.float16(0.1), "0.1"),
        (7, "7"),
        (np.int8(7), "7"),
        (10**400, "1" + 400 * "0"),
        (float("nan"), "nan"),
        (np.float32("inf"), "inf"),
        (Decimal("0.10"), "0.10"),
        (Decimal("NaN"), "nan"),
        (True, "true"),
        (np.True_, "true"),
        (None, "null"),
        (_Colour.RED, "red"),
        (_Level.HIGH, "3"),
        (_STAMP, "2026-01-02T03:04:05+00:00"),
        (_STAMP.date(), "2026-01-02"),
        (_UUID, str(_UUID)),
        (PurePosixPath("a/b"), "a/b"),
        (_Spoken(), "as it says"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_one_text_or_one_number_is_that_text(output: Any, text: str) -> None:
    assert to_texts([output], 1) == ([text], {})
    assert to_texts([output, "mixed with text"], 2) == ([text, "mixed with text"], {})


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ({"label": "ä", "p": np.float64(0.5), "n": np.int64(3)}, '{"label":"ä","p":0.5,"n":3}'),
        ([1, (2.5, None), np.array([True, False])], "[1,[2.5,null],[true,false]]"),
        ([np.longdouble(0.5), b"raw", _Spoken()], '[0.5,"raw","as it says"]'),
        ((1, 2), "[1,2]"),
        (_Named("a", 0.5), '{"label":"a","score":0.5}'),
        ({"best": [_Named("a", 0.5)]}, '{"best":[{"label":"a","score":0.5}]}'),
        (_Record("a", (0.5, 1)), '{"label":"a","scores":[0.5,1]}'),
        ([_Holder(_Record("a", ()))], '[{"record":{"label":"a","scores":[]},"_private":1}]'),
        ({3, 1, 2}, "[1,2,3]"),
        ({"set": frozenset("ba")}, '{"set":["a","b"]}'),
        (deque([1, 2]), "[1,2]"),
        (range(3), "[0,1,2]"),
        ({"b": 1}.keys(), '["b"]'),
        ({"b": 1}.values(), "[1]"),
        (MappingProxyType({"a": 1}), '{"a":1}'),
        (Counter("aab"), '{"a":2,"b":1}'),
        ({"colour": _Colour.RED, "level": _Level.HIGH}, '{"colour":"red","level":3}'),
        ({"at": _STAMP, "on": _STAMP.date()}, '{"at":"2026-01-02T03:04:05+00:00","on":"2026-01-02"}'),
        ({"price": Decimal("0.10"), "id": _UUID}, f'{{"price":0.10,"id":"{_UUID}"}}'),
        ([10**30], "[1000000000000000000000000000000]"),
        ([{"ids": (n for n in (1, 2))}, {1: 2}], '[{"ids":[1,2]},{"1":2}]'),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_has_parts_is_json(output: Any, text: str) -> None:
    assert to_texts([output], 1) == ([text], {})


@pytest.mark.parametrize(
    ("output", "text"),
    [
        (np.array([[1, 2], [3, 4]]), "[[1,2],[3,4]]"),
        (_SINGLES, "[0.1,6.6]"),
        (_SINGLES.reshape(2, 1).T, "[[0.1,6.6]]"),
        (_SINGLES.astype(">f4"), "[0.1,6.6]"),
        ({"p": _SINGLES, "best": _SINGLES[0]}, '{"p":[0.1,6.6],"best":0.1}'),
        ({1: _SINGLES, 2: list(_SINGLES)}, '{"1":[0.1,6.6],"2":[0.1,6.6]}'),
        ([_SINGLES[0], np.float16(0.5)], "[0.1,0.5]"),
        ([np.array(_SINGLES[1])], "[6.6]"),
        (sparse.csr_matrix([[0, 1], [2, 0]]), "[[0,1],[2,0]]"),
        ({"vector": sparse.coo_array([0, 0.5])}, '{"vector":[0.0,0.5]}'),
        (np.array([b"a", b"b"]), '["a","b"]'),
        (np.array(["a", "b"]), '["a","b"]'),
        (np.array([{"a": _SINGLES[0]}, None]), '[{"a":0.1},null]'),
        (np.array([("a", 0.1)], [("label", "U1"), ("score", "f4")]), '[{"label":"a","score":0.1}]'),
        (np.ma.array([1, 2], mask=[False, True]), "[1,null]"),
        (np.array(["2026-01-02", "NaT"], "M8[D]"), '["2026-01-02",null]'),
        (np.array(["2026-01-02", "NaT"], "M8[s]"), '["2026-01-02T00:00:00",null]'),
        (np.array([0.1, np.nan], np.float16), "[0.1,null]"),
        (_Arraylike(), "[[0.5,0.25],[1.0,2.0]]"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_arrays_are_lists_with_the_shortest_texts_of_their_own_precision(output: Any, text: str) -> None:
    assert to_texts([output], 1) == ([text], {})


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (1, "1"),
        (0.5, "0.5"),
        (True, "true"),
        (None, "null"),
        (np.int64(1), "1"),
        (np.float32(0.1), "0.1"),
        (np.str_("a"), "a"),
        (np.False_, "false"),
        (_Colour.RED, "red"),
        (_Level.HIGH, "3"),
        (_STAMP.date(), "2026-01-02"),
        (np.datetime64("2026-01-02"), "2026-01-02"),
        (_UUID, str(_UUID)),
        (b"a", "a"),
        (Decimal("0.10"), "0.10"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_keys_become_the_text_of_what_they_are(key: Any, text: str) -> None:
    assert to_texts([{key: [key, 1]}], 1)[0][0].startswith(f'{{"{text}":')
    assert to_texts([{"inner": {key: None, "b": 2}}], 1) == ([f'{{"inner":{{"{text}":null,"b":2}}}}'], {})


_NOT_FINITE = {"a": [float("nan"), 1.0], "b": np.array([np.inf, -np.inf]), "c": np.float32("nan"), 1: Decimal("-inf")}


@pytest.mark.parametrize(
    ("non_finite", "text"),
    [
        (NonFinite.NULL, '{"a":[null,1.0],"b":[null,null],"c":null,"1":null}'),
        (NonFinite.TEXT, '{"a":["NaN",1.0],"b":["Infinity","-Infinity"],"c":"NaN","1":"-Infinity"}'),
    ],
)
def test_numbers_that_json_does_not_have_are_replaced_as_it_is_set(non_finite: NonFinite, text: str) -> None:
    assert to_texts([_NOT_FINITE], 1, non_finite) == ([text], {})
    assert to_texts([float("nan"), 1.5], 2, non_finite) == (["nan", "1.5"], {})


def test_numbers_that_json_does_not_have_fail_their_input_where_that_is_set() -> None:
    outputs = [1.0, float("nan"), {"a": np.array([np.inf])}, {"a": [1.0, 10**30]}, np.float32("-inf")]
    texts, failures = to_texts(outputs, 5, NonFinite.ERROR)
    assert texts == ["1.0", "", "", '{"a":[1.0,1000000000000000000000000000000]}', ""]
    assert [failures[place].partition(",")[0] for place in failures] == [
        "ValueError: The output holds NaN",
        "ValueError: The output holds Infinity",
        "ValueError: The output holds -Infinity",
    ]
    assert all("CLIPPER_NON_FINITE" in message for message in failures.values())


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
        (np.array([[0.1, 0.5], [1, 0]], np.float32), ["[0.1,0.5]", "[1.0,0.0]"]),
        (_Arraylike(), ["[0.5,0.25]", "[1.0,2.0]"]),
        (sparse.csr_matrix([[0, 0.5], [1, 0]]), ["[0.0,0.5]", "[1.0,0.0]"]),
        (sparse.coo_array(np.array([[0, 0.1], [1, 0]], np.float32)), ["[0.0,0.1]", "[1.0,0.0]"]),
        (sparse.coo_array([0, 0.5]), ["0.0", "0.5"]),
    ],
)
def test_what_has_one_output_an_input_is_taken_apart(returned: Any, texts: list[str]) -> None:
    assert to_texts(returned, 2) == (texts, {})


@pytest.mark.parametrize(
    ("make", "texts"),
    [
        (lambda: (x for x in "ab"), ["a", "b"]),
        (lambda: map(str, [1, 2]), ["1", "2"]),
        (lambda: _later(["a", "b"]), ["a", "b"]),
        (lambda: _one_after_the_other("a", "b"), ["a", "b"]),
        (lambda: _later(x for x in "ab"), ["a", "b"]),
        (lambda: _later(np.array([0.1, 0.5], np.float32)), ["0.1", "0.5"]),
        (lambda: [_later("a"), (x for x in (1, 2))], ["a", "[1,2]"]),
        (lambda: [_one_after_the_other(1), _later(_Named("a", 0.5))], ["[1]", '{"label":"a","score":0.5}']),
        (
            lambda: [_later(x for x in "ab"), {"inner": (x for x in "ab"), 1: 2}],
            ['["a","b"]', '{"inner":["a","b"],"1":2}'],
        ),
    ],
)
def test_what_is_still_to_be_computed_is_computed(make: Callable[[], Any], texts: list[str]) -> None:
    assert to_texts(make(), 2) == (texts, {})


@pytest.mark.parametrize(
    ("returned", "came"),
    [
        (None, "an object of type NoneType"),
        ("ab", "an object of type str"),
        ({0: "a", 1: "b"}, "an object of type dict"),
        (np.array("a"), "an object of type ndarray"),
        ({"a", "b"}, "an object of type set"),
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
        (["\ud800"], "TypeError: str is not valid UTF-8: surrogates"),
        (_Unprintable(), "SystemExit: no text"),
        ([_Unprintable()], "SystemExit: no text"),
        (ValueError("too dark"), "ValueError: too dark"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_output_that_cannot_be_text_fails_its_own_input_only(output: Any, error: str) -> None:
    texts, failures = to_texts(["good", output, 5], 3)
    assert texts == ["good", "", "5"]
    assert list(failures) == [1]
    assert failures[1].startswith(error)


@pytest.mark.parametrize(
    ("output", "error"),
    [
        (_Plain(), r"_Plain has no obvious text as an output; return a dict, a list, a number or a str"),
        ([_Plain()], r"_Plain has no obvious text as an output"),
        (_Plain, r"type has no obvious text as an output"),
        (1 + 2j, r"complex has no obvious text"),
        ({"z": np.complex64(1j)}, r"complex has no obvious text"),
        (len, r"builtin_function_or_method has no obvious text"),
        (timedelta(1), r"timedelta has no obvious text.*total_seconds"),
        (np.timedelta64(1, "s"), r"timedelta64 has no obvious text.*total_seconds"),
        ({1, "a"}, r"set has no obvious text.*return a list"),
        ([ValueError("x")], r"ValueError has no obvious text within an output; raise it"),
        ({(1, 2): 3}, r"tuple has no obvious text as the key of an object; make the key a str"),
        ({_Named("a", 1): 3}, r"_Named has no obvious text as the key"),
        ({1: "a", "1": "b"}, r"Two keys of the output have the text '1'"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_has_no_obvious_text_is_an_error_that_names_type_and_remedy(output: Any, error: str) -> None:
    texts, failures = to_texts(["good", output, 5], 3)
    assert texts == ["good", "", "5"]
    assert re.search(error, failures[1])
    assert " at 0x" not in failures[1]


def test_what_fails_while_it_is_computed_fails_alone() -> None:
    texts, failures = to_texts(["good", _failing(), (1 / (n - 1) for n in (0, 1))], 3)
    assert texts == ["good", "", ""]
    assert failures == {1: "ValueError: later", 2: "ZeroDivisionError: division by zero"}


def test_coroutines_of_one_batch_run_side_by_side_and_one_that_fails_fails_alone() -> None:
    async def meet(barrier: asyncio.Barrier, place: int) -> str:
        await barrier.wait()
        if place == 1:
            raise SystemExit("gone")
        return f"met {place}"

    barrier = asyncio.Barrier(3)
    texts, failures = to_texts([meet(barrier, place) for place in range(3)], 3)
    assert texts == ["met 0", "", "met 2"]
    assert failures == {1: "SystemExit: gone"}


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
