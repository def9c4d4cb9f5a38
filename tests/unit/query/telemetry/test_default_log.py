"""The log of default outputs under a clock of the test's own."""

import logging
import math
from typing import Any

import pytest

from services.query.engine.requests import DefaultReason
from services.query.telemetry.default_log import DefaultLog

Told = list[tuple[str, dict[str, int]]]


def told(caplog: pytest.LogCaptureFixture) -> Told:
    """What the log says of which application."""
    lines: list[Any] = caplog.records
    return [(line.application, line.defaults) for line in lines]


def test_the_first_default_is_due_at_once_and_names_application_and_reason(caplog: pytest.LogCaptureFixture) -> None:
    log = DefaultLog()
    log.add("digits", DefaultReason.QUEUE_FULL, "full")
    assert log.due_s <= 100.0
    log.write(100.0)
    assert told(caplog) == [("digits", {"queue_full": 1})]
    assert caplog.records[0].levelno == logging.WARNING


def test_a_flood_makes_one_line_in_ten_seconds_with_the_counts_by_reason(caplog: pytest.LogCaptureFixture) -> None:
    log = DefaultLog()
    for number in range(1_000):
        now_s = 100.0 + number / 100
        log.add("digits", DefaultReason.DEADLINE_IN_QUEUE if number % 2 else DefaultReason.QUEUE_FULL, "")
        if log.due_s <= now_s:
            log.write(now_s)
    assert told(caplog) == [("digits", {"queue_full": 1})]
    assert log.due_s == 110.0
    log.write(110.0)
    assert told(caplog)[1] == ("digits", {"deadline_in_queue": 500, "queue_full": 499})


def test_each_application_has_a_line_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    log = DefaultLog()
    log.add("digits", DefaultReason.NO_REPLICA, "")
    log.add("texts", DefaultReason.REPLICA_LOST, "")
    log.write(1.0)
    assert told(caplog) == [("digits", {"no_replica": 1}), ("texts", {"replica_lost": 1})]


def test_a_models_error_is_in_the_line_of_its_application(caplog: pytest.LogCaptureFixture) -> None:
    log = DefaultLog()
    log.add("digits", DefaultReason.MODEL_ERROR, "ValueError: negative")
    log.add("texts", DefaultReason.QUEUE_FULL, "full")
    log.write(1.0)
    assert [vars(line).get("model_error") for line in caplog.records] == ["ValueError: negative", None]


def test_nothing_is_due_when_all_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    log = DefaultLog()
    assert log.due_s == math.inf
    log.add("digits", DefaultReason.QUEUE_FULL, "")
    log.write(1.0)
    assert log.due_s == math.inf
    log.write(99.0)
    assert len(caplog.records) == 1
