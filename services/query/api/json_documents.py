"""JSON documents of clients: how they are read, and what is said of bad ones."""

import re
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from services.common.errors import InvalidInput
from services.common.records import Application
from services.query.api.request_limits import RequestLimits

INPUT_SCHEMA = '\n  {\n   "input" := [double] | [int] | [string] | [byte] | [float],\n  }\n'
_NAMES = {
    bool: "Bool", int: "Number", float: "Number", str: "String", list: "Array", dict: "Object", type(None): "Null",
}  # fmt: skip


# One that does not end is one, too, so that no text is looked at twice.
_TEXT = re.compile(rb'("[^"\\]*+(?:\\.[^"\\]*+)*+"?)', re.DOTALL)


def load(body: bytes, schema: str, limits: RequestLimits, application: Application) -> dict[str, Any]:
    """Parses a body; NaN, as Python writes it, is null for an application that takes missing values.

    Raises:
        InvalidInput: it is not JSON, or not an object.
        LimitExceeded: it has too many parts.
    """
    if len(body) > limits.max_parts:
        limits.check_parts(count_parts(body, limits.max_parts))
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        document = _load_with_nan(body, error, schema, application)
    if not isinstance(document, dict):
        raise bad("Can only get key-value pair from an object", schema)
    return document


def _load_with_nan(body: bytes, error: Exception, schema: str, application: Application) -> Any:
    """Parses what is no JSON, if that is for want of NaN alone."""
    advice = ""
    if b"NaN" in body and application.missing == "nan":
        # Texts are every other piece, from the second on.
        pieces = _TEXT.split(body)
        pieces[::2] = [piece.replace(b"NaN", b"null") for piece in pieces[::2]]
        try:
            return orjson.loads(b"".join(pieces))
        except orjson.JSONDecodeError as other:
            error = other
    elif b"NaN" in body:
        advice = (
            ". NaN is no JSON; it is taken where an application of floats or doubles is registered with missing='nan'"
        )
    raise bad(f"JSON parse error: {error}{advice}", schema) from None


def count_parts(body: bytes, most: int) -> int:
    """How many strings, arrays and objects a body has; when there are not more than `most`, no fewer than it has."""
    # Four times as fast as three times `body.count`.
    signs = np.frombuffer(body, np.uint8)
    parts = _count(signs == ord('"')) // 2 + _count(signs == ord("[")) + _count(signs == ord("{"))
    return parts if parts <= most else _count_parts(body)


def _count_parts(body: bytes) -> int:
    """The exact number, for many times the price."""
    unescaped = body.replace(rb"\\", b"").replace(rb"\"", b"")
    signs = np.frombuffer(unescaped, np.uint8)
    quotes = signs == ord('"')
    within_string = np.logical_xor.accumulate(quotes)
    opening = (signs == ord("[")) | (signs == ord("{"))
    return _count(quotes) // 2 + _count(opening & ~within_string)


def _count(places: NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(places))


def context(document: dict[str, Any], schema: str) -> str:
    """The "uid" of a document as text; empty when absent.

    Raises:
        InvalidInput: it is neither text nor an integer.
    """
    uid = document.get("uid")
    if uid is None:
        return ""
    if isinstance(uid, str):
        return uid
    if isinstance(uid, int) and not isinstance(uid, bool):
        return str(uid)
    raise bad(f"Type mismatch! JSON key uid expected type String but found type {name(uid)}", schema)


def name(value: Any) -> str:
    """What JSON calls the type of a parsed value."""
    return _NAMES[type(value)]


def bad(detail: str, schema: str = INPUT_SCHEMA) -> InvalidInput:
    """The error for a body that is not as `schema` wants it."""
    return InvalidInput(f"Error parsing JSON: {detail}. Expected JSON schema: {schema}")


def embed(output: str) -> bytes:
    """An output within an answer: as it stands when it is JSON, else as a JSON string."""
    try:
        orjson.loads(output)
    except ValueError:
        return orjson.dumps(output)
    return output.encode()
