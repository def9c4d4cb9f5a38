"""The JSON of the public REST endpoint: request bodies in, answers out, byte for byte as documented.

Numbers keep their kind: an integer is taken where doubles or floats are wanted, `1.0` is not taken for an integer. An
output that is JSON is embedded as it stands; any other is embedded as a JSON string.
"""

import binascii
import math
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from services.common.errors import InvalidInput
from services.common.names import InputType
from services.query.engine.requests import Query, Request
from services.query.timing import timing

_SCHEMA = '\n  {\n   "input" := [double] | [int] | [string] | [byte] | [float],\n  }\n'
_JSON_NAMES = {
    bool: "Bool", int: "Number", float: "Number", str: "String", list: "Array", dict: "Object", type(None): "Null",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class PredictBody:
    """A parsed request body.

    Attributes:
        inputs: the inputs as they stand in the JSON.
        is_batch: whether they were given as "input_batch".
        version: the version asked for; None for the current one.
        context: the "uid" as text; None when absent.
        has_booleans: whether true or false may be somewhere among the inputs.
        explain: whether the answer is to tell where the time went.
        forbid_default: whether an error is wanted rather than the default output.
    """

    inputs: list[Any]
    is_batch: bool
    version: str | None
    context: str | None
    has_booleans: bool
    explain: bool
    forbid_default: bool


def parse(body: bytes) -> PredictBody:
    """Parses a request body.

    Raises:
        InvalidInput: it is not JSON, not an object, has no input, or a key of the wrong type.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _json_error(f"JSON parse error: {error}") from None
    if not isinstance(document, dict):
        raise _json_error("Can only get key-value pair from an object")
    version = document.get("version")
    if version is not None and not isinstance(version, str):
        raise _json_error(f"Type mismatch! JSON key version expected type String but found type {_json_name(version)}")
    context = _context(document.get("uid"))
    explain, forbid_default = _flag(document, "explain"), _flag(document, "forbid_default")
    # Cheaper than asking every element for its type, and wrong only towards caution.
    has_booleans = b"true" in body or b"false" in body
    if "input" in document:
        return PredictBody([document["input"]], False, version, context, has_booleans, explain, forbid_default)
    try:
        batch = document["input_batch"]
    except KeyError:
        raise _json_error("JSON object does not have required keys input or input_batch") from None
    if not isinstance(batch, list):
        raise _json_error(f"Input batch of type {_json_name(batch)} is not of type array")
    return PredictBody(batch, True, version, context, has_booleans, explain, forbid_default)


def pack(body: PredictBody, input_type: InputType) -> list[bytes]:
    """The packed inputs of a body.

    Raises:
        InvalidInput: an input is not of the type.
    """
    packer = _PACKERS[input_type]
    if body.has_booleans and input_type in _NUMBERS:
        _refuse_booleans(body.inputs, input_type)
    return [packer(value) for value in body.inputs]


def answer(request: Request, is_batch: bool) -> bytes:
    """The answer to a finished request."""
    if not is_batch:
        return _prediction(request.queries[0], request.first_query_id)
    numbered = enumerate(request.queries, request.first_query_id)
    predictions = [_prediction(query, number) for number, query in numbered]
    return b'{"batch_predictions":[' + b",".join(predictions) + b"]}"


def _prediction(query: Query, query_id: int) -> bytes:
    output = _embed(query.output)
    if not query.reason:
        if query.spent is None:
            return b'{"query_id":%d,"output":%b,"default":false}' % (query_id, output)
        explained = orjson.dumps(timing(query.spent))
        return b'{"query_id":%d,"output":%b,"default":false,"timing":%b}' % (query_id, output, explained)
    explanation = orjson.dumps(query.explanation)
    return b'{"query_id":%d,"output":%b,"default":true,"default_explanation":%b}' % (query_id, output, explanation)


def _embed(output: str) -> bytes:
    try:
        orjson.loads(output)
    except ValueError:
        return orjson.dumps(output)
    return output.encode()


def _pack_bytes(value: Any) -> bytes:
    if not isinstance(value, str):
        raise _json_error(f"PredictionData of type {_json_name(value)} is not of type base64-encoded string")
    try:
        return binascii.a2b_base64(value, strict_mode=bool(value))
    except ValueError as error:
        raise _json_error(f"The base64-encoded string is invalid: {error}") from None


def _pack_string(value: Any) -> bytes:
    if not isinstance(value, str):
        raise _json_error(f"PredictionData of type {_json_name(value)} is not of type string")
    return value.encode()


def _pack_ints(value: Any) -> bytes:
    return _pack_numbers("i", value, "int", "an integer outside of 32 bits").tobytes()


def _pack_doubles(value: Any) -> bytes:
    return _pack_numbers("d", value, "double", "an integer outside of the range of doubles").tobytes()


def _pack_floats(value: Any) -> bytes:
    numbers = _pack_numbers("f", value, "float", "an integer outside of the range of floats")
    # JSON has no infinities and the parser makes none, but a double can become one in single precision.
    if not all(map(math.isfinite, numbers)):
        raise _json_error("Array input has a number outside of the range of floats")
    return numbers.tobytes()


def _pack_numbers(code: str, value: Any, element: str, overflow: str) -> "array[Any]":
    if not isinstance(value, list):
        raise _json_error(f"PredictionData of type {_json_name(value)} is not of type array of {element}s")
    try:
        return array(code, value)
    except OverflowError:
        raise _json_error(f"Array input has {overflow}") from None
    except TypeError:
        wrong = next(item for item in value if _is_wrong_number(item, element))
        raise _json_error(f"Array input of type {_json_name(wrong)} is not of type {element}") from None


def _is_wrong_number(item: Any, element: str) -> bool:
    return not isinstance(item, int) and not (isinstance(item, float) and element != "int")


def _refuse_booleans(inputs: Sequence[Any], input_type: InputType) -> None:
    for value in inputs:
        if isinstance(value, list) and any(item is True or item is False for item in value):
            raise _json_error(f"Array input of type Bool is not of type {input_type.value.removesuffix('s')}")


def _context(uid: Any) -> str | None:
    if uid is None or isinstance(uid, str):
        return uid
    if isinstance(uid, int) and not isinstance(uid, bool):
        return str(uid)
    raise _json_error(f"Type mismatch! JSON key uid expected type String but found type {_json_name(uid)}")


def _flag(document: dict[str, Any], key: str) -> bool:
    flag = document.get(key)
    if flag is None or isinstance(flag, bool):
        return bool(flag)
    raise _json_error(f"Type mismatch! JSON key {key} expected type Bool but found type {_json_name(flag)}")


def _json_name(value: Any) -> str:
    return _JSON_NAMES[type(value)]


def _json_error(detail: str) -> InvalidInput:
    return InvalidInput(f"Error parsing JSON: {detail}. Expected JSON schema: {_SCHEMA}")


_NUMBERS = frozenset({InputType.INTS, InputType.FLOATS, InputType.DOUBLES})
_PACKERS: dict[InputType, Callable[[Any], bytes]] = {
    InputType.BYTES: _pack_bytes,
    InputType.INTS: _pack_ints,
    InputType.FLOATS: _pack_floats,
    InputType.DOUBLES: _pack_doubles,
    InputType.STRINGS: _pack_string,
}
