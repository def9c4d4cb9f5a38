"""Recorded predictions and events as the JSON that lies in Redis and that people read.

A recorded prediction is an array, as there are many: [query id, Unix time in ms, context, probability, outputs by arm,
output, whether that was the default output, chosen arms, features]. `scripts.py` finds the context there.
"""

from collections.abc import Mapping

import orjson

from services.common.selection_records import ContextKey, PredictionRecord, Recorded


def encode_prediction(prediction: PredictionRecord, at_ms: int) -> bytes:
    """One line of JSON."""
    return orjson.dumps(
        (
            prediction.query_id,
            at_ms,
            prediction.key.context,
            prediction.probability,
            prediction.outputs,
            prediction.output,
            prediction.is_default,
            prediction.chosen,
            prediction.features,
        )
    )


def decode_prediction(application: str, registration: int, text: str) -> Recorded:
    """What was encoded."""
    query_id, at_ms, context, probability, outputs, output, is_default, chosen, features = orjson.loads(text)
    key = ContextKey(application, registration, context)
    return Recorded(
        PredictionRecord(key, query_id, probability, outputs, output, is_default, tuple(chosen), features), at_ms
    )


def encode_context(context: str) -> bytes:
    """A context as it stands in what is encoded here."""
    return orjson.dumps(context)


def encode_event(event: Mapping[str, object]) -> bytes:
    """One line of JSON."""
    return orjson.dumps(event)


def prediction_event(text: str) -> str:
    """A recorded prediction as people read it."""
    query_id, at_ms, context, probability, outputs, output, is_default, chosen, features = orjson.loads(text)
    event = {
        "event": "prediction",
        "at_ms": at_ms,
        "query_id": query_id,
        "context": context,
        "chosen": chosen,
        "probability": probability,
        "outputs": outputs,
        "output": output,
        "default": is_default,
        "features": features,
    }
    return orjson.dumps(event).decode()
