"""Records and the configuration that they make."""

import pytest

from services.common.records import Change, Configuration, CurrentVersion, Kind, Record, Unreadable
from tests.fixtures.records import RECORDS


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


def test_what_cannot_be_read_takes_the_place_of_the_record_and_is_told_apart() -> None:
    record = CurrentVersion("m", "1")
    before = Configuration().apply(1, [Change.put(record), Change.put(CurrentVersion("n", "1"))])
    after = before.apply(2, [Change(Kind.CURRENT_VERSION, "m", Unreadable("it is nonsense"))])
    assert after.current_versions == {"n": CurrentVersion("n", "1")}
    assert after.unreadable == {(Kind.CURRENT_VERSION, "m"): "it is nonsense"}
    assert before.unreadable == {}


@pytest.mark.parametrize("change", [Change.put(CurrentVersion("m", "2")), Change(Kind.CURRENT_VERSION, "m", None)])
def test_whoever_writes_or_deletes_what_cannot_be_read_ends_that(change: Change) -> None:
    before = Configuration().apply(1, [Change(Kind.CURRENT_VERSION, "m", Unreadable("it is nonsense"))])
    assert before.apply(2, [change]).unreadable == {}


def test_what_stands_under_a_key_can_be_deleted_readable_or_not() -> None:
    known = Configuration().apply(
        1, [Change.put(CurrentVersion("m", "1")), Change(Kind.CURRENT_VERSION, "n", Unreadable("it is nonsense"))]
    )
    for key in ("m", "n"):
        assert known.deletion(Kind.CURRENT_VERSION, key) == Change(Kind.CURRENT_VERSION, key, None)
    assert known.deletion(Kind.CURRENT_VERSION, "o") is None
    assert known.deletion(Kind.REPLICA, "n") is None
