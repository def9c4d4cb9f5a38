"""Bodies, looked at before they are parsed."""

import json
import random

import orjson
import pytest

from services.common.errors import LimitExceeded
from services.common.names import InputType
from services.common.records import Application
from services.query.api.json_documents import count_parts, load
from services.query.api.request_limits import RequestLimits

_LIMITS = RequestLimits(max_inputs=1)
_APPLICATION = Application("app", InputType.DOUBLES, "", 1)
_ABOVE = _LIMITS.max_parts + 1


def _parts(value: object) -> int:
    """How many strings, arrays and objects a parsed document has."""
    if isinstance(value, dict):
        return 1 + sum(1 + _parts(each) for each in value.values())
    if isinstance(value, list):
        return 1 + sum(map(_parts, value))
    return int(isinstance(value, str))


def _random_document(randomness: random.Random, depth: int) -> object:
    kind = randomness.choice(["number", "text", "text", "list", "dict"] if depth else ["number", "text"])
    if kind == "number":
        return randomness.choice([0, -1.5e9, True, None])
    if kind == "text":
        return "".join(randomness.choices('[{"\\\n\t é😀a]}', k=randomness.randrange(8)))
    values = [_random_document(randomness, depth - 1) for _ in range(randomness.randrange(4))]
    return values if kind == "list" else {f'{place}"\\': value for place, value in enumerate(values)}


@pytest.mark.parametrize("seed", range(200))
def test_when_counted_exactly_the_parts_are_those_of_the_document(seed: int) -> None:
    document = _random_document(random.Random(seed), depth=4)
    for body in (orjson.dumps(document), json.dumps(document).encode()):
        assert count_parts(body, most=0) == _parts(document)
        assert count_parts(body, most=1_000) >= _parts(document)


@pytest.mark.parametrize(
    "body",
    [
        b'{"input_batch":[%b]}' % b",".join([b"[]"] * _ABOVE),
        b'{"input_batch":[%b]}' % b",".join([b'""'] * _ABOVE),
        b'{"input_batch":[%b]}' % (b"[" * _ABOVE + b"]" * _ABOVE),
        b'{"input":[],"note":[%b]}' % b",".join([b"{}"] * _ABOVE),
        b'{"input":[],%b}' % b",".join(b'"%d":0' % number for number in range(_ABOVE)),
    ],
    ids=["arrays", "strings", "nested arrays", "objects that nobody reads", "keys"],
)
def test_a_body_of_too_many_parts_is_refused(body: bytes) -> None:
    with pytest.raises(LimitExceeded, match="A request has at most 1 inputs, and 65536 strings, arrays, objects"):
        load(body, "", _LIMITS, _APPLICATION)


@pytest.mark.parametrize(
    "body",
    [
        b'{"input":[%b]}' % b",".join([b"0"] * 1_000_000),
        b'{"input":"%b"}' % (b"[{" * _ABOVE),
        b'{"input":"%b"}' % (rb"\"" * 2 * _ABOVE),
        b'{"input":"%b"}' % (rb"\\" * _ABOVE + rb"\"[" * _ABOVE),
    ],
    ids=["numbers", "brackets in a text", "quotes in a text", "both, and backslashes"],
)
def test_numbers_and_signs_in_texts_are_no_parts(body: bytes) -> None:
    assert load(body, "", _LIMITS, _APPLICATION) == orjson.loads(body)
