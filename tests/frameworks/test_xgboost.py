"""Models of XGBoost answer as where they were trained."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.fixtures.frameworks import Workshop, assert_serves
from tests.fixtures.small_frameworks import PACKAGES

# An environment is installed first.
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def told(workshop: Workshop) -> Mapping[str, Any]:
    """What the program has deployed, and been refused."""
    return workshop.run("xgboost_models", PACKAGES)


@pytest.mark.parametrize("application", ["xgb-booster", "xgb-classifier"])
def test_answers_are_the_models_own(workshop: Workshop, told: Mapping[str, Any], application: str) -> None:
    assert_serves(workshop, application, told["answers"][application])


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("no model", "A DMatrix is no model of XGBoost: deploy a Booster"),
        ("not fitted", "The XGBoost model cannot be saved: NotFittedError"),
    ],
)
def test_what_cannot_serve_is_told_and_leaves_nothing(
    workshop: Workshop, told: Mapping[str, Any], name: str, cause: str
) -> None:
    assert cause in told["refusals"][name]
    workshop.assert_has_nothing_of("xgb-bad")
