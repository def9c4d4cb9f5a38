"""Models of scikit-learn answer as where they were fitted."""

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
    return workshop.run("sklearn_models", PACKAGES)


@pytest.mark.parametrize("application", ["sk-digits", "sk-mails"])
def test_answers_are_the_models_own(workshop: Workshop, told: Mapping[str, Any], application: str) -> None:
    assert_serves(workshop, application, told["answers"][application])


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        (
            "not fitted",
            "What is deployed has to be fitted, and a model of scikit-learn: This SVC instance is not fitted yet",
        ),
        ("no such method", "The SVC has no method 'transform'; name one that it has in method="),
        (
            "missing module",
            "a module that this container does not have (ModuleNotFoundError: No module named 'absent_module')",
        ),
    ],
)
def test_what_cannot_serve_is_told_and_leaves_nothing(
    workshop: Workshop, told: Mapping[str, Any], name: str, cause: str
) -> None:
    assert cause in told["refusals"][name]
    workshop.assert_has_nothing_of("sk-bad")


def test_an_input_of_another_length_fails_alone(workshop: Workshop, told: Mapping[str, Any]) -> None:
    answers = told["answers"]["sk-digits"]
    rows = [*answers["inputs"][:5], [1.0, 2.0], *answers["inputs"][5:10]]

    told_of = workshop.rest("sk-digits", rows)
    failed = told_of.pop(5)
    assert told_of == answers["outputs"][:10]
    assert "expecting 64 features" in failed
