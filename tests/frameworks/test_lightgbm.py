"""Models of LightGBM answer as where they were trained."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.fixtures.frameworks import Workshop, assert_serves

PACKAGES = ("lightgbm==4.7.0", "scikit-learn==1.9.1")
# An environment is installed first.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def told(workshop: Workshop) -> Mapping[str, Any]:
    """What the program has deployed, and been refused."""
    return workshop.run("lightgbm_models", PACKAGES)


@pytest.mark.parametrize(
    "application",
    ["lgb-booster", "lgb-two", "lgb-two-probabilities", "lgb-three", "lgb-three-probabilities", "lgb-regressor"],
)
def test_answers_are_the_models_own(workshop: Workshop, told: Mapping[str, Any], application: str) -> None:
    assert_serves(workshop, application, told["answers"][application])


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("no model", "A ndarray is no model of LightGBM: deploy a Booster"),
        ("not fitted", "The LightGBM model cannot be saved: "),
        ("no such method", "The LGBMRegressor is deployed with method= one of predict"),
        ("another length", "The number of features in data (1)"),
    ],
)
def test_what_cannot_serve_is_told_and_leaves_nothing(
    workshop: Workshop, told: Mapping[str, Any], name: str, cause: str
) -> None:
    assert cause in told["refusals"][name]
    workshop.assert_has_nothing_of("lgb-bad")
