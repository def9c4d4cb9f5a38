"""Recorded predictions and events as the JSON that lies in Redis and that people read.

A recorded prediction is an array, as there are many: [Unix time in ms, context, probability, outputs by arm, output,
whether that was the default output, chosen arms, features, note, arms that were away]. Its query id is a part of where
it lies. From the output on it ends where all is as it mostly is; an output of null is the only arm's, and chosen arms
of null are those that answered. `lua/forget_events.lua` finds the context there.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from services.common.selection_records import ContextKey, PredictionRecord, Recorded

_MOSTLY: tuple[Any, ...] = (None, False, None, (), (), ())


def encode_prediction(prediction: PredictionRecord, at_ms: int) -> bytes:
    """One line of JSON."""
    outputs = prediction.outputs
    rest: list[object] = [
        None if list(outputs.values()) == [prediction.output] else prediction.output,
        prediction.is_default,
        None if tuple(outputs) == prediction.chosen else prediction.chosen,
        tuple(prediction.features),
        tuple(prediction.note),
        prediction.away,
    ]
    while rest and rest[-1] == _MOSTLY[len(rest) - 1]:
        rest.pop()
    return orjson.dumps((at_ms, prediction.key.context, prediction.probability, outputs, *rest))


def decode_prediction(application: str, registration: int, query_id: int, text: str) -> Recorded:
    """What was encoded."""
    at_ms, context, probability, found, *rest = orjson.loads(text)
    outputs: dict[str, str] = dict(found)
    output, is_default, chosen, features, note, away = rest + list(_MOSTLY[len(rest) :])
    prediction = PredictionRecord(
        ContextKey(application, registration, context),
        query_id,
        probability,
        outputs,
        _only_one(outputs.values()) if output is None else output,
        is_default,
        tuple(outputs if chosen is None else chosen),
        list(features),
        tuple(note),
        tuple(away),
    )
    return Recorded(prediction, at_ms)


def encode_context(context: str) -> bytes:
    """A context as it stands in what is encoded here."""
    return orjson.dumps(context)


def encode_event(event: Mapping[str, object]) -> bytes:
    """One line of JSON."""
    return orjson.dumps(event)


def prediction_event(query_id: int, text: str) -> str:
    """A recorded prediction as people read it."""
    prediction, at_ms = decode_prediction("", 0, query_id, text)
    event = {
        "event": "prediction",
        "at_ms": at_ms,
        "query_id": query_id,
        "context": prediction.key.context,
        "chosen": prediction.chosen,
        "probability": prediction.probability,
        "outputs": prediction.outputs,
        "output": prediction.output,
        "default": prediction.is_default,
        "features": prediction.features,
    }
    return orjson.dumps(event).decode()


def _only_one(outputs: Iterable[str]) -> str:
    [output] = outputs
    return output
