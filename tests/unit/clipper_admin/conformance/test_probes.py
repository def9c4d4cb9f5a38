"""What is expected of a model, and whether it came."""

from typing import Any

import pytest

from clipper_admin.conformance.probes import Expectation, Reply


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ("3.0", "3.0"),
        (3, "3.0"),
        (1 / 3, "0.33333334"),
        ([1, 2.5], "[1.0,2.5]"),
        ({"label": "cat", "score": 0.1}, '{"score": 0.10000000001, "label": "cat"}'),
        (True, "true"),
        (None, "null"),
    ],
)
def test_an_output_may_be_printed_in_another_way(output: Any, text: str) -> None:
    assert Expectation(output).is_met_by(Reply(text))


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ("3.0", "3"),
        (3, "3.1"),
        (3, "three"),
        (1, "true"),
        (True, "false"),
        ([1, 2], "[1]"),
        ({"label": "cat"}, '{"label":"dog"}'),
        ({"label": "cat"}, '{"label":"cat","more":1}'),
    ],
)
def test_another_output_is_not_what_was_expected(output: Any, text: str) -> None:
    assert not Expectation(output).is_met_by(Reply(text))


def test_a_failure_is_expected_by_a_part_of_its_message() -> None:
    expected = Expectation(error="too small")
    assert expected.is_met_by(Reply("", "ValueError: too small by 3"))
    assert not expected.is_met_by(Reply("", "ValueError: too large"))
    assert not expected.is_met_by(Reply("too small"))
    assert not Expectation("3.0").is_met_by(Reply("", "3.0"))
