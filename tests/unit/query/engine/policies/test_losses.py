"""Losses."""

import pytest

from services.common.errors import InvalidInput
from services.query.engine.policies.losses import loss


@pytest.mark.parametrize(
    ("label", "output", "expected"),
    [
        ("cat", "cat", 0.0),
        ("cat", "dog", 1.0),
        ("1", "1.0", 0.0),
        ("1", "2", 1.0),
        ("cat", "1", 1.0),
        ("nan", "nan", 0.0),
    ],
)
def test_zero_one_is_right_or_wrong_and_compares_numbers_as_numbers(label: str, output: str, expected: float) -> None:
    assert loss("zero_one", label, output, 1.0) == expected


@pytest.mark.parametrize(
    ("kind", "output", "expected"),
    [
        ("absolute", "10", 0.0),
        ("absolute", "12.5", 0.25),
        ("absolute", "-5", 1.0),
        ("absolute", "cat", 1.0),
        ("absolute", "nan", 1.0),
        ("squared", "12.5", 0.0625),
        ("squared", "1e308", 1.0),
    ],
)
def test_squared_and_absolute_are_of_the_error_in_units_of_the_scale_and_at_most_1(
    kind: str, output: str, expected: float
) -> None:
    assert loss(kind, "10", output, 10.0) == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["squared", "absolute"])
@pytest.mark.parametrize("label", ["cat", "nan", "inf"])
def test_a_label_that_is_no_number_is_refused_where_one_is_needed(kind: str, label: str) -> None:
    with pytest.raises(InvalidInput, match=f"The label '{label}' is no finite number, which the loss '{kind}' needs"):
        loss(kind, label, "1", 1.0)


def test_errors_beyond_all_numbers_are_a_loss_of_1() -> None:
    assert loss("squared", "-1.7e308", "1.7e308", 1.0) == 1.0
