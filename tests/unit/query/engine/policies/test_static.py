"""Policies that learn nothing."""

import pytest

from services.query.engine.policies.policy import Observation
from services.query.engine.policies.static import Single, Static


def test_single_asks_the_only_model_and_learns_nothing() -> None:
    assert Single({}).weights({}, ["svm"]) == {"svm": 1.0}
    assert Single({}).observe({}, ["svm"], Observation({"svm": 1.0})) == {}


def test_static_without_weights_asks_all_equally() -> None:
    assert Static({}).weights({}, ["net", "svm"]) == {"net": 0.5, "svm": 0.5}


def test_static_keeps_the_proportions_whatever_the_feedback() -> None:
    policy = Static({"net": 3.0, "svm": 1.0})
    state = policy.observe({}, ["net", "svm"], Observation({"net": 1.0}))
    assert policy.weights(state, ["net", "svm"]) == {"net": 0.75, "svm": 0.25}


def test_static_does_not_ask_an_arm_without_weight_while_another_can_answer() -> None:
    policy = Static({"net": 3.0, "svm": 0.0})
    assert policy.weights({}, ["forest", "net", "svm"]) == {"forest": 0.0, "net": 1.0, "svm": 0.0}
    assert policy.weights({}, ["forest", "svm"]) == {"forest": 0.5, "svm": 0.5}


def test_static_keeps_the_proportions_of_those_that_can_answer() -> None:
    policy = Static({"forest": 6.0, "net": 3.0, "svm": 1.0})
    assert policy.weights({}, ["net", "svm"]) == pytest.approx({"net": 0.75, "svm": 0.25})
