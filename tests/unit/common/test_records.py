"""Records and the configuration that they make."""

import json

import pytest

from services.common.names import InputType
from services.common.records import (
    Application,
    Change,
    Configuration,
    CurrentVersion,
    Kind,
    ModelVersion,
    Record,
    Replica,
    from_json,
    to_json,
)

CLEVER = Application(
    "clever", InputType.DOUBLES, "", 1, ("a", "b"), selection_policy="exp3",
    policy_parameters=(("eta", 0.1), ("gamma", 1.0)), confidence_threshold=0.5, loss="squared", loss_scale=2.0,
    feedback_window_s=60, context_ttl_s=600, combine="average",
)  # fmt: skip
RECORDS: list[tuple[Kind, str, Record]] = [
    (Kind.APPLICATION, "digits", Application("digits", InputType.INTS, 'é "\ud83d"', 100_000, ("forest",), 3)),
    (Kind.APPLICATION, "bare", Application("bare", InputType.STRINGS, "", 1)),
    (Kind.APPLICATION, "rare", Application("rare", InputType.STRINGS, "", 1, (), 2, "high", 0.25, False, 5_000)),
    (Kind.APPLICATION, "clever", CLEVER),
    (Kind.MODEL_VERSION, "m:1.0", ModelVersion("m", "1.0", InputType.BYTES, ("a", "b"), "image:1", "/m", 100, 4)),
    (Kind.MODEL_VERSION, "m:2", ModelVersion("m", "2", InputType.FLOATS)),
    (Kind.MODEL_VERSION, "m:3", ModelVersion("m", "3", InputType.FLOATS, batching_policy="aimd", batch_delay_micros=9)),
    (Kind.CURRENT_VERSION, "m", CurrentVersion("m", "2")),
    (Kind.REPLICA, "m:2:0", Replica("m", "2", 0, InputType.DOUBLES, "[::1]:9000")),
]


@pytest.mark.parametrize(("kind", "key", "record"), RECORDS)
def test_a_record_survives_the_store(kind: Kind, key: str, record: Record) -> None:
    assert record.key == key
    restored = from_json(kind, to_json(record))
    assert restored == record
    assert hash(restored) == hash(record)


@pytest.mark.parametrize(("kind", "key", "record"), RECORDS)
def test_what_a_newer_service_added_to_a_record_is_left_out(kind: Kind, key: str, record: Record) -> None:
    newer = json.loads(to_json(record)) | {"added_later": [1, 2]}
    assert from_json(kind, json.dumps(newer)) == record


def test_what_an_older_service_did_not_write_has_its_default() -> None:
    text = '{"name":"a","input_type":"doubles","default_output":"x","latency_slo_micros":5}'
    assert from_json(Kind.APPLICATION, text) == Application("a", InputType.DOUBLES, "x", 5)


@pytest.mark.parametrize(("kind", "key", "record"), RECORDS)
def test_a_record_is_put_and_deleted_under_its_key(kind: Kind, key: str, record: Record) -> None:
    with_it = Configuration().apply(1, [Change.put(record)])
    assert getattr(with_it, kind.value) == {key: record}
    assert with_it.apply(2, [Change.delete(record)]) == Configuration(revision=2)


def test_changes_apply_in_order_and_leave_the_old_configuration_alone() -> None:
    first = CurrentVersion("m", "1")
    second = CurrentVersion("m", "2")
    before = Configuration().apply(1, [Change.put(first)])
    after = before.apply(2, [Change.delete(first), Change.put(second), Change.put(CurrentVersion("n", "1"))])
    assert before.current_versions == {"m": first}
    assert after.current_versions == {"m": second, "n": CurrentVersion("n", "1")}
    assert (before.revision, after.revision) == (1, 2)


def test_a_change_leaves_other_kinds_the_very_same_objects() -> None:
    before = Configuration().apply(1, [Change.put(record) for _, _, record in RECORDS])
    after = before.apply(2, [Change.put(CurrentVersion("m", "1.0"))])
    assert after.replicas is before.replicas
    assert after.model_versions is before.model_versions


def test_deleting_what_is_not_there_changes_nothing() -> None:
    assert Configuration().apply(1, [Change.delete(CurrentVersion("m", "1"))]) == Configuration(revision=1)


def test_records_are_stored_without_spaces_in_ascii() -> None:
    assert to_json(CurrentVersion("m", "é")) == '{"model_name":"m","model_version":"\\u00e9"}'
