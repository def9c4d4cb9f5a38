"""Models of Keras answer as where they were trained."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.fixtures.frameworks import Workshop, assert_serves

PACKAGES = ("keras==3.15.1", "scikit-learn==1.9.1", "tensorflow-cpu==2.21.0")
# An environment is installed first.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def told(workshop: Workshop) -> Mapping[str, Any]:
    """What the program has deployed, and been refused."""
    return workshop.run("keras_models", PACKAGES)


@pytest.mark.parametrize("application", ["keras-digits", "keras-file"])
def test_answers_are_the_models_own(workshop: Workshop, told: Mapping[str, Any], application: str) -> None:
    assert_serves(workshop, application, told["answers"][application])


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("damaged", "the Keras model cannot be loaded: "),
        ("no model", "A ndarray is no model of Keras"),
        ("no such file", "'absent.keras' is no file that ends with one of .keras, .h5, .hdf5"),
    ],
)
def test_what_cannot_serve_is_told_and_leaves_nothing(
    workshop: Workshop, told: Mapping[str, Any], name: str, cause: str
) -> None:
    assert cause in told["refusals"][name]
    workshop.assert_has_nothing_of("keras-bad")
