"""Feedback in JSON: what is told of predictions, and what became of that.

Numbers and booleans are labels as JSON writes them.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from services.common.lessons import FeedbackStatus
from services.common.records import Application
from services.query.api import json_inputs
from services.query.api.json_documents import bad, context, load, name
from services.query.api.request_limits import RequestLimits
from services.query.engine.feedback import FeedbackItem

_SCHEMA = """
  {
   "query_id" := int | "input" := [double] | [int] | [string] | [byte] | [float],
   "label" := string | double | int | bool | "reward" := double,
   "uid" := string, "feedback_id" := string
  }
"""


class FeedbackBody(NamedTuple):
    """A parsed request body.

    Attributes:
        items: the feedback.
        is_batch: whether it was given as "feedback".
    """

    items: list[FeedbackItem]
    is_batch: bool


def parse(body: bytes, application: Application, limits: RequestLimits) -> FeedbackBody:
    """Parses a request body for an application.

    Raises:
        InvalidInput: it is not JSON, not an object, an input is not what it takes, or a key of the wrong type.
        LimitExceeded: it has too many items.
    """
    document = load(body, _SCHEMA, limits, application)
    has_booleans = json_inputs.may_have_booleans(body)
    if "feedback" not in document:
        return FeedbackBody([_item(document, application, has_booleans)], False)
    batch = document["feedback"]
    if not isinstance(batch, list):
        raise _wrong("feedback", "Array", batch)
    limits.check_feedback(len(batch))
    for entry in batch:
        if not isinstance(entry, dict):
            raise bad("Can only get key-value pair from an object", _SCHEMA)
    return FeedbackBody([_item(entry, application, has_booleans) for entry in batch], True)


def answer(statuses: Sequence[FeedbackStatus], is_batch: bool) -> bytes:
    """The answer when all was learned that could be."""
    words = [status.value for status in statuses]
    return orjson.dumps({"feedback": words if is_batch else words[0]})


def _item(document: dict[str, Any], application: Application, has_booleans: bool) -> FeedbackItem:
    data = None
    if "input" in document:
        (data,) = json_inputs.pack([document["input"]], application, has_booleans=has_booleans)
    return FeedbackItem(
        query_id=_query_id(document.get("query_id")),
        input=data,
        context=context(document, _SCHEMA),
        label=_label(document.get("label")),
        reward=_reward(document.get("reward")),
        feedback_id=_feedback_id(document.get("feedback_id")),
    )


def _query_id(value: Any) -> int | None:
    if value is None or _is_integer(value):
        return value  # type: ignore[no-any-return]
    raise _wrong("query_id", "Int", value)


def _label(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return orjson.dumps(value).decode()
    raise _wrong("label", "String", value)


def _reward(value: Any) -> float | None:
    if value is None or isinstance(value, float):
        return value
    if _is_integer(value):
        return float(value)
    raise _wrong("reward", "Number", value)


def _feedback_id(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if _is_integer(value):
        return str(value)
    raise _wrong("feedback_id", "String", value)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _wrong(key: str, expected: str, value: Any) -> Exception:
    return bad(f"Type mismatch! JSON key {key} expected type {expected} but found type {name(value)}", _SCHEMA)
