"""Networks of PyTorch answer as where they were trained."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.fixtures.frameworks import Workshop, assert_serves

PACKAGES = ("onnx==1.23.2", "onnxruntime==1.32.0", "scikit-learn==1.9.1", "torch==2.13.0")
# An environment is installed first.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def told(workshop: Workshop) -> Mapping[str, Any]:
    """What the program has deployed, and been refused."""
    return workshop.run("pytorch_models", PACKAGES)


@pytest.mark.parametrize("application", ["torch-digits", "torch-scores", "torch-onnx"])
def test_answers_are_the_models_own(workshop: Workshop, told: Mapping[str, Any], application: str) -> None:
    assert_serves(workshop, application, told["answers"][application])


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("no model", "A OrderedDict is no network of PyTorch"),
        ("another length", "mat1 and mat2 shapes cannot be multiplied"),
    ],
)
def test_what_cannot_serve_is_told_and_leaves_nothing(
    workshop: Workshop, told: Mapping[str, Any], name: str, cause: str
) -> None:
    assert cause in told["refusals"][name]
    workshop.assert_has_nothing_of("torch-bad")
