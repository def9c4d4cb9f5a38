"""What an application's inputs may have to be like, and what no input can be like."""

import dataclasses
import json
import math
from typing import Any

import pytest

from services.common import record_codec
from services.common.errors import InvalidInput
from services.common.input_schema import InputSchema, Range
from services.common.names import InputType
from services.common.records import Application, Kind, Unreadable

_APPLICATION = Application("app", InputType.DOUBLES, "", 1)


@pytest.mark.parametrize(
    ("attributes", "says"),
    [
        ({"shape": (0,)}, "has a dimension without elements"),
        ({"shape": (4, -1)}, "has a dimension without elements"),
        ({"shape": (2**31, 2**31)}, "which no request can hold"),
        ({"shape": (4_294_967_295,)}, "which no request can hold"),
        ({"shape": (1,) * 33}, "at most 32"),
        ({"names": ("a", "b", "a")}, "the name 'a' twice"),
        ({"names": ("",)}, "1 to 255 printable characters"),
        ({"names": ("a" * 256,)}, "1 to 255 printable characters"),
        ({"names": ("a\n",)}, "1 to 255 printable characters"),
        ({"names": ("a\x00",)}, "1 to 255 printable characters"),
        ({"names": ("a\u202eb",)}, "1 to 255 printable characters"),
        ({"names": ("\ud800",)}, "1 to 255 printable characters"),
        ({"names": tuple(map(str, range(4_097)))}, "at most 4096 names"),
        ({"names": ("a", "b"), "shape": (3,)}, r"has 2 names, but the shape \[3\]"),
        ({"names": ("a", "b"), "shape": (1, 2)}, r"has 2 names, but the shape \[1, 2\]"),
        ({"minimum": math.nan}, "a bound that is no finite number"),
        ({"maximum": math.inf}, "a bound that is no finite number"),
        ({"minimum": 1.0, "maximum": 0.5}, "from 1 to 0.5, where nothing lies"),
        ({"names": ("a",), "ranges": (Range("b", 0.0, 1.0),)}, "a range of 'b', but that is none of its names"),
        ({"names": ("a",), "ranges": (Range("a", math.nan, None),)}, "The range of 'a' has a bound"),
        ({"names": ("a",), "ranges": (Range("a", 2.0, 1.0),)}, "The range of 'a' is from 2 to 1"),
    ],
)
def test_what_no_input_can_be_like_is_refused_with_why(attributes: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        InputSchema(**attributes)


@pytest.mark.parametrize("name", ["größe", "年齢", "a b", "a.b", "😀", '"', "'", "é"])
def test_a_name_may_be_of_any_script(name: str) -> None:
    assert InputSchema(names=(name,)).places == {name: 0}


@pytest.mark.parametrize(
    ("schema", "length"),
    [
        (InputSchema(), None),
        (InputSchema(minimum=0.0), None),
        (InputSchema((4,)), 4),
        (InputSchema((28, 28)), 784),
        (InputSchema(names=("a", "b")), 2),
        (InputSchema((2,), ("a", "b")), 2),
    ],
)
def test_names_and_shape_say_how_many_elements_there_are(schema: InputSchema, length: int | None) -> None:
    assert schema.length == length


def test_the_range_of_a_name_holds_instead_of_that_of_all() -> None:
    schema = InputSchema(names=("a", "b", "c"), minimum=-1.0, ranges=(Range("b", None, 5.0), Range("c", 0.0, None)))
    lower, upper = schema.bounds
    assert lower.tolist() == [-1.0, -math.inf, 0.0]
    assert upper.tolist() == [math.inf, 5.0, math.inf]


@pytest.mark.parametrize(
    "schema", [None, InputSchema((2, 3)), InputSchema((2,), ("x", "é"), 0.0, None, (Range("é", None, 5.0),))]
)
def test_a_schema_survives_the_store(schema: InputSchema | None) -> None:
    application = dataclasses.replace(_APPLICATION, schema=schema, missing="nan")
    assert record_codec.decode(Kind.APPLICATION, "app", record_codec.encode(application)) == application


def test_a_record_from_before_there_were_schemas_is_read() -> None:
    document = json.loads(record_codec.encode(_APPLICATION))
    del document["schema"], document["missing"]
    assert record_codec.decode(Kind.APPLICATION, "app", json.dumps(document)) == _APPLICATION


@pytest.mark.parametrize(
    "schema",
    [
        7, [], "x", {"shape": 4}, {"shape": ["4"]}, {"shape": [1.5]}, {"shape": [True]}, {"shape": [2**64]},
        {"names": "ab"}, {"names": ["a", "a"]}, {"names": [1]}, {"minimum": "0"}, {"minimum": 2, "maximum": 1},
        {"ranges": {"a": [0, 1]}}, {"names": ["a"], "ranges": [["a", 0]]},
        {"names": ["a"], "ranges": [["b", 0, 1]]}, {"ranges": [7]},
    ],
)  # fmt: skip
def test_a_record_with_a_schema_that_is_none_is_unreadable(schema: object) -> None:
    document = json.loads(record_codec.encode(_APPLICATION)) | {"schema": schema}
    read = record_codec.decode(Kind.APPLICATION, "app", json.dumps(document))
    assert isinstance(read, Unreadable)
    assert "'schema' cannot be" in read.why


def test_a_record_with_a_schema_for_another_type_is_unreadable() -> None:
    document = json.loads(record_codec.encode(_APPLICATION)) | {"input_type": "strings", "schema": {"shape": [1]}}
    assert isinstance(record_codec.decode(Kind.APPLICATION, "app", json.dumps(document)), Unreadable)
