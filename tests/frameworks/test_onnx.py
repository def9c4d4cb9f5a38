"""ONNX models answer as those from which they were made."""

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
    return workshop.run("onnx_models", PACKAGES)


@pytest.mark.parametrize("application", ["onnx-digits", "onnx-probabilities", "onnx-colours", "onnx-columns"])
def test_answers_are_the_models_own(workshop: Workshop, told: Mapping[str, Any], application: str) -> None:
    assert_serves(workshop, application, told["answers"][application])


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("damaged", "the ONNX model cannot be loaded: "),
        ("no such output", "the model has no output 'loss'; it has label, probabilities"),
        ("no such file", "The ONNX model in 'nowhere.onnx' cannot be read: No such file or directory"),
        ("no model", "A MLPClassifier is no ONNX model"),
    ],
)
def test_what_cannot_serve_is_told_and_leaves_nothing(
    workshop: Workshop, told: Mapping[str, Any], name: str, cause: str
) -> None:
    assert cause in told["refusals"][name]
    workshop.assert_has_nothing_of("onnx-bad")
