"""Predictions in JSON: what is asked, and the answers.

An output that is JSON is embedded as it stands; any other is embedded as a JSON string.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from services.common.records import Application
from services.query.api import json_inputs
from services.query.api.asked import Asked
from services.query.api.choice import Choice, choice
from services.query.api.json_documents import INPUT_SCHEMA, bad, context, embed, load, name
from services.query.api.request_limits import RequestLimits
from services.query.api.timing import timing
from services.query.engine.requests import Query, Request, Selection


class PredictBody(NamedTuple):
    """A parsed request body.

    Attributes:
        inputs: the inputs as they stand in the JSON.
        is_batch: whether they were given as "input_batch".
        version: the version asked for; None for the current one.
        context: the "uid" as text; empty when absent.
        has_booleans: whether true or false may be somewhere among the inputs.
        explain: whether the answer is to tell where the time went.
        forbid_default: whether an error is wanted rather than the default output.
    """

    inputs: list[Any]
    is_batch: bool
    version: str | None
    context: str
    has_booleans: bool
    explain: bool
    forbid_default: bool


def read(body: bytes, application: Application, limits: RequestLimits) -> tuple[Asked, bool]:
    """What a request body asks of an application, and whether as "input_batch".

    Raises:
        InvalidInput: it is no such body, or an input is not what the application takes.
        LimitExceeded: it has too many inputs.
    """
    parsed = parse(body, application, limits)
    packed = json_inputs.pack(parsed.inputs, application, has_booleans=parsed.has_booleans)
    return Asked(packed, parsed.version, parsed.context, parsed.explain, parsed.forbid_default), parsed.is_batch


def parse(body: bytes, application: Application, limits: RequestLimits) -> PredictBody:
    """Parses a request body for an application.

    Raises:
        InvalidInput: it is not JSON, not an object, has no input, or a key of the wrong type.
        LimitExceeded: it has too many inputs.
    """
    document = load(body, INPUT_SCHEMA, limits, application)
    version = document.get("version")
    if version is not None and not isinstance(version, str):
        raise bad(f"Type mismatch! JSON key version expected type String but found type {name(version)}")
    uid = context(document, INPUT_SCHEMA)
    explain, forbid_default = _flag(document, "explain"), _flag(document, "forbid_default")
    has_booleans = json_inputs.may_have_booleans(body)
    if "input" in document:
        return PredictBody([document["input"]], False, version, uid, has_booleans, explain, forbid_default)
    try:
        batch = document["input_batch"]
    except KeyError:
        raise bad("JSON object does not have required keys input or input_batch") from None
    if not isinstance(batch, list):
        raise bad(f"Input batch of type {name(batch)} is not of type array")
    limits.check_inputs(len(batch))
    return PredictBody(batch, True, version, uid, has_booleans, explain, forbid_default)


def glance(body: bytes, application: Application, limits: RequestLimits) -> tuple[int, bool, bool]:
    """Of a request body how many inputs it has, whether as "input_batch", and whether it forbids default outputs.

    Cheap for one that has a single input, which is not parsed for it.

    Raises:
        InvalidInput, LimitExceeded: as `parse` does, where the body had to be parsed.
    """
    if not body or b"input_batch" in body or b"forbid_default" in body or b"\\" in body:
        parsed = parse(body, application, limits)
        return len(parsed.inputs), parsed.is_batch, parsed.forbid_default
    return 1, False, False


def answer(request: Request, is_batch: bool) -> bytes:
    """The answer to a finished request."""
    if request.selection is not None:
        return _among_batch(_chosen(request, request.selection), is_batch)
    if not is_batch:
        return _prediction(request.queries[0], request.first_query_id)
    numbered = enumerate(request.queries, request.first_query_id)
    return _among_batch([_prediction(query, number) for number, query in numbered], is_batch)


def default_fields(default_output: str, explanation: str) -> bytes:
    """What a default output's prediction has after its query id."""
    return b'"output":%b,"default":true,"default_explanation":%b}' % (embed(default_output), orjson.dumps(explanation))


def alike_answer(fields: bytes, first_query_id: int, count: int, is_batch: bool) -> bytes:
    """An answer whose predictions are equal but for their query ids."""
    numbers = range(first_query_id, first_query_id + count)
    return _among_batch([b'{"query_id":%d,%b' % (number, fields) for number in numbers], is_batch)


def _among_batch(predictions: Sequence[bytes], is_batch: bool) -> bytes:
    if not is_batch:
        return predictions[0]
    return b'{"batch_predictions":[' + b",".join(predictions) + b"]}"


def _prediction(query: Query, query_id: int) -> bytes:
    if query.reason:
        return b'{"query_id":%d,%b' % (query_id, default_fields(query.output, query.explanation))
    output = embed(query.output)
    if query.spent is None:
        return b'{"query_id":%d,"output":%b,"default":false}' % (query_id, output)
    explained = orjson.dumps(timing(query.spent))
    return b'{"query_id":%d,"output":%b,"default":false,"timing":%b}' % (query_id, output, explained)


def _chosen(request: Request, selection: Selection) -> list[bytes]:
    """The predictions of an application that chooses among models, with what is told of the choice."""
    predictions = []
    for number, (query, pick) in enumerate(zip(request.queries, selection.picks, strict=True), request.first_query_id):
        prediction = _prediction(query, number)
        told: dict[str, object] = {}
        if selection.selector.tells_confidence:
            told["confidence"] = pick.confidence
        if request.explain:
            told["selection"] = _choice(choice(selection, pick))
        predictions.append(b"%b,%b" % (prediction[:-1], orjson.dumps(told)[1:]) if told else prediction)
    return predictions


def _choice(fields: Choice) -> dict[str, object]:
    arms = [
        {**arm, "output": orjson.Fragment(embed(arm["output"]))} if "output" in arm else arm for arm in fields["arms"]
    ]
    return {**fields, "arms": arms}


def _flag(document: dict[str, Any], key: str) -> bool:
    flag = document.get(key)
    if flag is None or isinstance(flag, bool):
        return bool(flag)
    raise bad(f"Type mismatch! JSON key {key} expected type Bool but found type {name(flag)}")
