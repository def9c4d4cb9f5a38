"""Records as the JSON text that the store keeps, and what there is no record at all.

What was written by hand, by another program or by a newer service may be anything. So a text is read as a record only
when each field has its type and a value that every service can work with; then nobody has to look again.
"""

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from services.common.errors import InvalidInput, describe
from services.common.input_schema import InputSchema, Range, check_input_names
from services.common.names import (
    ADAPTIVE_BATCH_SIZE,
    BATCHING_POLICIES,
    COMBINATIONS,
    LOSSES,
    MISSING,
    PRIORITIES,
    InputType,
)
from services.common.records import CLASSES, Application, Kind, ModelVersion, Record, Unreadable

# What no field may be, whoever wrote it: the services would divide by it, wait for ever or fail at each request.
_ALLOWED: Mapping[str, Callable[[Any], bool]] = {
    # They become labels of metrics and parts of addresses and keys.
    "name": str.isascii,
    "model_name": str.isascii,
    "model_version": str.isascii,
    "address": str.isascii,
    "latency_slo_micros": lambda micros: micros > 0,
    "priority": lambda word: word in PRIORITIES,
    "share": lambda share: share > 0.0,
    "cache_ttl_micros": lambda micros: micros >= 0,
    "loss": lambda word: word in LOSSES,
    "loss_scale": lambda scale: scale > 0.0,
    # Redis counts them in milliseconds.
    "feedback_window_s": lambda seconds: 0 < seconds < 1e12,
    "context_ttl_s": lambda seconds: 0 < seconds < 1e12,
    "combine": lambda word: word in COMBINATIONS,
    "missing": lambda word: word in MISSING,
    "batch_size": lambda size: size > 0 or size == ADAPTIVE_BATCH_SIZE,
    "batching_policy": lambda word: not word or word in BATCHING_POLICIES,
    "batch_delay_micros": lambda micros: micros >= 0,
    "replica_id": lambda number: number >= 0,
}
_LONGEST_SHOWN = 100


def encode(record: Record) -> str:
    """A record as the store keeps it."""
    return json.dumps(dataclasses.asdict(record), separators=(",", ":"))


def decode(kind: Kind, key: str, text: str) -> Record | Unreadable:
    """The record that `encode` wrote under a key, or why there is none.

    Fields that a newer service added are left out.
    """
    try:
        # Bytes that are no UTF-8 come as what cannot be encoded.
        text.encode()
        record = _record(CLASSES[kind], json.loads(text))
        if record.key != key:
            raise ValueError(f"it is the record of '{record.key}'")
        _check_inputs(record)
    except Exception as error:
        return Unreadable(describe(error))
    return record


def _record(record_class: type[Record], document: Any) -> Record:
    if not isinstance(document, dict):
        raise TypeError(f"it is no object but {_shown(document)}")
    values = {}
    for field in dataclasses.fields(record_class):
        if field.name in document:
            values[field.name] = _value(field, document[field.name])
        elif field.default is dataclasses.MISSING:
            raise ValueError(f"'{field.name}' is missing")
    return record_class(**values)


def _check_inputs(record: Record) -> None:
    """Raises InvalidInput for what inputs of the record's type cannot be like."""
    if isinstance(record, Application) and record.schema is not None:
        record.schema.check_type(record.input_type)
    if isinstance(record, ModelVersion):
        check_input_names(record.input_names, record.input_type)


def _value(field: "dataclasses.Field[Any]", given: Any) -> Any:
    name = field.name
    try:
        value = _READERS[field.type](given)
        allowed = _ALLOWED.get(name, lambda _: True)(value)
    except (TypeError, ValueError, OverflowError):
        allowed = False
    except InvalidInput as error:
        raise ValueError(f"'{name}' cannot be {_shown(given)}: {error}") from None
    if not allowed:
        raise ValueError(f"'{name}' cannot be {_shown(given)}")
    return value


def _shown(given: Any) -> str:
    return json.dumps(given)[:_LONGEST_SHOWN]


def _of(kind: type) -> Callable[[Any], Any]:
    """Reads what is of just this type: a bool is no int."""

    def read(given: Any) -> Any:
        if type(given) is not kind:
            raise TypeError
        return given

    return read


def _whole(given: Any) -> int:
    # 64 bits is what Redis and the protocol have for it.
    if type(given) is not int or not -(2**63) <= given < 2**63:
        raise ValueError
    return given


def _number(given: Any) -> float:
    if type(given) not in (int, float) or not math.isfinite(given):
        raise ValueError
    return float(given)


def _schema(given: Any) -> InputSchema | None:
    if given is None:
        return None
    if not isinstance(given, dict):
        raise TypeError
    return InputSchema(
        tuple(map(_whole, _list(given.get("shape", [])))),
        tuple(map(_text, _list(given.get("names", [])))),
        _bound(given.get("minimum")),
        _bound(given.get("maximum")),
        tuple(Range(_text(name), _bound(low), _bound(high)) for name, low, high in _list(given.get("ranges", []))),
    )


def _bound(given: Any) -> float | None:
    return None if given is None else _number(given)


_text = _of(str)
_list = _of(list)
_READERS: Mapping[Any, Callable[[Any], Any]] = {
    str: _text,
    bool: _of(bool),
    int: _whole,
    float: _number,
    InputType: InputType,
    tuple[str, ...]: lambda given: tuple(map(_text, _list(given))),
    InputSchema | None: _schema,
    tuple[tuple[str, float], ...]: lambda given: tuple((_text(name), _number(value)) for name, value in _list(given)),
}
