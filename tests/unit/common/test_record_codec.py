"""Records as text, and what is none."""

import json
from typing import Any

import pytest

from services.common.names import InputType
from services.common.record_codec import decode, encode
from services.common.records import Application, CurrentVersion, Kind, ModelVersion, Record, Replica, Unreadable
from tests.fixtures.records import RECORDS

APPLICATION = Application("app", InputType.DOUBLES, "-1", 20_000, ("m",))


@pytest.mark.parametrize(("kind", "key", "record"), RECORDS)
def test_a_record_survives_the_store(kind: Kind, key: str, record: Record) -> None:
    assert record.key == key
    restored = decode(kind, key, encode(record))
    assert restored == record
    assert hash(restored) == hash(record)


@pytest.mark.parametrize(("kind", "key", "record"), RECORDS)
def test_what_a_newer_service_added_to_a_record_is_left_out(kind: Kind, key: str, record: Record) -> None:
    newer = json.loads(encode(record)) | {"added_later": [1, 2]}
    assert decode(kind, key, json.dumps(newer)) == record


def test_what_an_older_service_did_not_write_has_its_default() -> None:
    text = '{"name":"a","input_type":"doubles","default_output":"x","latency_slo_micros":5}'
    assert decode(Kind.APPLICATION, "a", text) == Application("a", InputType.DOUBLES, "x", 5)


def test_records_are_stored_without_spaces_in_ascii() -> None:
    assert encode(CurrentVersion("m", "é")) == '{"model_name":"m","model_version":"\\u00e9"}'


def why_unreadable(kind: Kind, key: str, text: str) -> str:
    """Why there is no record in a text."""
    found = decode(kind, key, text)
    assert isinstance(found, Unreadable)
    return found.why


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "JSONDecodeError: "),
        ("{", "JSONDecodeError: "),
        ("\udcff\udcfe", "UnicodeEncodeError: "),
        ('{"name":"\udcff"}', "UnicodeEncodeError: "),
        ("[" * 100_000, "RecursionError"),
        ("[1,2]", "TypeError: it is no object but [1, 2]"),
        ("null", "TypeError: it is no object but null"),
        ("{}", "ValueError: 'name' is missing"),
        (encode(CurrentVersion("app", "1")), "ValueError: 'name' is missing"),
    ],
    ids=["nothing", "cut", "no text", "no text inside", "deep", "a list", "null", "empty", "of another kind"],
)
def test_a_text_that_is_no_record_is_told_with_its_fault(text: str, why: str) -> None:
    assert why_unreadable(Kind.APPLICATION, "app", text).startswith(why)


def test_a_record_under_a_key_that_is_not_its_own_is_none() -> None:
    assert why_unreadable(Kind.APPLICATION, "other", encode(APPLICATION)) == "ValueError: it is the record of 'app'"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", 5),
        ("name", "\ud800"),
        ("input_type", "tensors"),
        ("input_type", ["doubles"]),
        ("default_output", None),
        ("latency_slo_micros", "fast"),
        ("latency_slo_micros", 0.5),
        ("latency_slo_micros", True),
        ("latency_slo_micros", 0),
        ("latency_slo_micros", 10**300),
        ("linked_models", "m"),
        ("linked_models", [1]),
        ("priority", "urgent"),
        ("share", 0),
        ("share", float("nan")),
        ("share", float("inf")),
        ("use_cache", "yes"),
        ("selection_policy", None),
        ("policy_parameters", {"eta": 1.0}),
        ("policy_parameters", [["eta"]]),
        ("policy_parameters", [["eta", "much"]]),
        ("loss", "hinge"),
        ("loss_scale", 0.0),
        ("feedback_window_s", -1),
        ("context_ttl_s", 10**18),
        ("combine", "median"),
    ],
)
def test_a_field_of_another_type_or_beyond_its_range_makes_it_none(field: str, value: Any) -> None:
    text = json.dumps(json.loads(encode(APPLICATION)) | {field: value})
    assert why_unreadable(Kind.APPLICATION, "app", text) == f"ValueError: '{field}' cannot be {json.dumps(value)[:100]}"


@pytest.mark.parametrize(
    ("kind", "record", "field", "value"),
    [
        (Kind.MODEL_VERSION, ModelVersion("m", "1", InputType.BYTES), "batch_size", 0),
        (Kind.MODEL_VERSION, ModelVersion("m", "1", InputType.BYTES), "batching_policy", "clever"),
        (Kind.MODEL_VERSION, ModelVersion("m", "1", InputType.BYTES), "batch_delay_micros", -1),
        (Kind.MODEL_VERSION, ModelVersion("m", "1", InputType.DOUBLES), "input_names", "age"),
        (Kind.MODEL_VERSION, ModelVersion("m", "1", InputType.DOUBLES), "input_names", [1]),
        (Kind.REPLICA, Replica("m", "1", 0, InputType.BYTES, "host:1"), "replica_id", -1),
        (Kind.REPLICA, Replica("m", "1", 0, InputType.BYTES, "host:1"), "address", 7000),
        (Kind.REPLICA, Replica("m", "1", 0, InputType.BYTES, "host:1"), "address", "\ud800:1"),
        (Kind.REPLICA, Replica("m", "1", 0, InputType.BYTES, "host:1"), "model_name", "\ud800"),
        (Kind.MODEL_VERSION, ModelVersion("m", "1", InputType.BYTES), "model_version", "\ud800"),
        (Kind.CURRENT_VERSION, CurrentVersion("m", "1"), "model_version", 1),
    ],
)
def test_no_kind_of_record_is_believed_blindly(kind: Kind, record: Record, field: str, value: Any) -> None:
    text = json.dumps(json.loads(encode(record)) | {field: value})
    assert why_unreadable(kind, record.key, text).startswith(f"ValueError: '{field}' cannot be")


@pytest.mark.parametrize(
    ("input_type", "names", "why"),
    [
        (InputType.DOUBLES, ["age", "age"], "cannot have the name 'age' twice"),
        (InputType.DOUBLES, [""], "Invalid name of an element"),
        (InputType.STRINGS, ["age"], "input_names are for numbers"),
    ],
)
def test_a_version_whose_inputs_cannot_be_called_so_is_none(input_type: InputType, names: list[str], why: str) -> None:
    record = ModelVersion("m", "1", input_type)
    text = json.dumps(json.loads(encode(record)) | {"input_names": names})
    assert why in why_unreadable(Kind.MODEL_VERSION, "m:1", text)
