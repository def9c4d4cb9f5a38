"""Inputs in JSON and packed, against the schema of their application."""

import math
import struct
from typing import Any

import numpy as np
import pytest

from services.common.errors import InvalidInput, LimitExceeded, SchemaMismatch
from services.common.input_schema import InputSchema, Range
from services.common.names import InputType
from services.common.records import Application
from services.query.api import input_checks, json_predictions
from services.query.api.request_limits import RequestLimits

_LIMITS = RequestLimits(max_inputs=8)
_PEOPLE = InputSchema(names=("age", "größe"), ranges=(Range("age", 0.0, 130.0),))


def _application(schema: InputSchema, input_type: InputType = InputType.DOUBLES, missing: str = "error") -> Application:
    return Application("app", input_type, "", 1, schema=schema, missing=missing)


def _check(rows: list[list[Any]], application: Application, dtype: str = "<f8") -> None:
    schema = application.schema
    assert schema is not None
    input_checks.check([np.array(row, dtype).tobytes() for row in rows], application, schema)


@pytest.mark.parametrize(("missing", "taken"), [("error", False), ("nan", True)])
def test_nan_is_within_a_range_only_where_it_is_a_missing_value(missing: str, taken: bool) -> None:
    application = _application(_PEOPLE, missing=missing)
    if taken:
        _check([[math.nan, math.nan]], application)
    else:
        with pytest.raises(SchemaMismatch, match=r"nan as 'age', which must be from 0 to 130. A missing value is NaN"):
            _check([[math.nan, 1.0]], application)


@pytest.mark.parametrize("infinity", [math.inf, -math.inf])
def test_an_infinity_is_outside_of_a_range(infinity: float) -> None:
    with pytest.raises(SchemaMismatch, match="as element 1, which must be from -1 to 1"):
        _check([[0.0, infinity]], _application(InputSchema(minimum=-1.0, maximum=1.0), missing="nan"))


def test_an_element_out_of_range_is_found_in_inputs_of_any_lengths() -> None:
    with pytest.raises(SchemaMismatch, match=r"^Input 3 of the batch, counted from 0, has -1\.0 as element 1"):
        _check([[1.0], [], [1.0, 2.0], [3.0, -1.0]], _application(InputSchema(minimum=0.0)))


@pytest.mark.parametrize(
    ("input_type", "dtype", "inside", "outside"),
    [
        (InputType.INTS, "<i4", 3, 4),
        (InputType.FLOATS, "<f4", 0.1, 3.6),
        (InputType.DOUBLES, "<f8", 3.5, 3.5000000000000004),
    ],
)
def test_bounds_are_within_the_range_in_the_types_own_precision(
    input_type: InputType, dtype: str, inside: float, outside: float
) -> None:
    application = _application(InputSchema(minimum=0.1, maximum=3.5), input_type)
    _check([[inside]], application, dtype)
    with pytest.raises(SchemaMismatch):
        _check([[outside]], application, dtype)


def test_the_bytes_of_an_input_are_counted() -> None:
    application = _application(InputSchema((3,)), InputType.BYTES)
    input_checks.check([b"abc"], application, InputSchema((3,)))
    with pytest.raises(SchemaMismatch, match="has 4 elements, but the application takes 3"):
        input_checks.check([b"abcd"], application, InputSchema((3,)))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ('{"age": 1, "gr\\u00f6\\u00dfe": 2, "x": 3}', "has 'x'"),
        ('{"age": 1, "gro\\u0308\\u00dfe": 2}', "has 'gro\u0308\u00dfe', but the application takes age, gr"),
        ('{"age": 1, "\\u0000": 2}', "has '\0'"),
        ('{"age": 1, "gr\\u00f6\\u00dfe": null}', "lacks 'größe'"),
        ('{"%s": 1}' % ("x" * 10_000), "has 'x{100}', but"),
    ],
)  # fmt: skip
def test_keys_that_are_not_the_names_are_told(given: str, says: str) -> None:
    with pytest.raises(SchemaMismatch, match=says):
        json_predictions.read(b'{"input":%b}' % given.encode(), _application(_PEOPLE), _LIMITS)


@pytest.mark.parametrize("given", ['{"age": [1], "größe": 2}', '{"age": "1", "größe": 2}', '{"age": {}, "größe": 2}'])
def test_what_has_a_name_is_a_number(given: str) -> None:
    with pytest.raises(InvalidInput, match="is not of type double"):
        json_predictions.read(b'{"input":%b}' % given.encode(), _application(_PEOPLE), _LIMITS)


def test_true_is_no_number_by_name_either() -> None:
    with pytest.raises(InvalidInput, match="Bool is not of type double"):
        json_predictions.read('{"input":{"age":true,"größe":1}}'.encode(), _application(_PEOPLE), _LIMITS)


def test_an_object_is_no_input_where_there_are_no_names() -> None:
    with pytest.raises(SchemaMismatch, match="is an object, but the application's schema has no names"):
        json_predictions.read(b'{"input":{"a":1}}', _application(InputSchema((1,))), _LIMITS)


def test_an_object_of_a_million_keys_is_not_even_parsed() -> None:
    body = b'{"input":{%b}}' % b",".join(b'"k%d":1' % number for number in range(1_000_000))
    with pytest.raises(LimitExceeded):
        json_predictions.read(body, _application(_PEOPLE), _LIMITS)


def test_rows_are_mixed_with_arrays_at_will() -> None:
    body = '{"input_batch":[{"größe":2,"age":1},[3,4]]}'.encode()
    asked, is_batch = json_predictions.read(body, _application(_PEOPLE), _LIMITS)
    assert (asked.inputs, is_batch) == ([struct.pack("<2d", 1, 2), struct.pack("<2d", 3, 4)], True)


@pytest.mark.parametrize(
    "body",
    [
        b'{"input":[NaN' + b'"\\"' * 200_000,
        b'{"input":[NaN' + b'"' + b"\\" * 400_001,
        b'{"input":[' + b"NaN" * 400_000,
        b'{"input":[' + b"[" * 60_000 + b"NaN",
    ],
)
def test_what_is_no_json_beside_nan_is_refused_at_once(body: bytes) -> None:
    limits = RequestLimits(max_inputs=1_000_000)
    with pytest.raises(InvalidInput, match="JSON parse error"):
        json_predictions.read(body, Application("app", InputType.DOUBLES, "", 1, missing="nan"), limits)


def test_nan_within_a_text_is_text() -> None:
    application = Application("app", InputType.DOUBLES, "", 1, missing="nan")
    asked, _ = json_predictions.read(b'{"uid":"NaN \\"NaN\\\\","input":[NaN,1]}', application, _LIMITS)
    assert asked.context == 'NaN "NaN\\'
    assert asked.inputs[0][8:] == struct.pack("<d", 1)
