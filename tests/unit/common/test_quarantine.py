"""What is left out is told once."""

import logging

import pytest

from services.common.quarantine import Quarantine

APP = ("applications", "app")
OTHER = ("replicas", "m:1:0")


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str, str]]:
    """Level, key and cause of what was logged since the last look."""
    lines = [(each.levelname, vars(each).get("key", ""), vars(each).get("cause", "")) for each in caplog.records]
    caplog.clear()
    return lines


def test_a_case_is_told_when_it_comes_when_its_cause_changes_and_when_it_is_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    quarantine = Quarantine()
    quarantine.hold({APP: "bad"})
    assert told(caplog) == [("ERROR", "app", "bad")]
    for _ in range(3):
        quarantine.hold({APP: "bad"})
    assert told(caplog) == []
    quarantine.hold({APP: "bad", OTHER: "cut"})
    assert told(caplog) == [("ERROR", "m:1:0", "cut")]
    quarantine.hold({APP: "worse", OTHER: "cut"})
    assert told(caplog) == [("ERROR", "app", "worse")]
    quarantine.hold({OTHER: "cut"})
    assert told(caplog) == [("INFO", "app", "")]


def test_cases_are_counted_by_kind() -> None:
    quarantine = Quarantine()
    assert quarantine.by_kind() == {}
    quarantine.hold({APP: "bad", ("applications", "other"): "bad", OTHER: "cut"})
    assert quarantine.by_kind() == {"applications": 2, "replicas": 1}


def test_a_change_that_is_met_again_is_told_and_counted_once(caplog: pytest.LogCaptureFixture) -> None:
    quarantine = Quarantine()
    for revision in (7, 7, 7, 9):
        quarantine.skip_change(revision, "cut")
    assert quarantine.unreadable_changes == 2
    assert [vars(record)["revision"] for record in caplog.records] == [7, 9]
