"""exp3: weights by importance-weighted losses."""

import math

import pytest

from services.query.engine.policies.exp3 import Exp3
from services.query.engine.policies.policy import Observation

_ARMS = ("net", "svm")


def test_a_loss_divided_by_the_choices_probability_lowers_the_weight_exponentially() -> None:
    policy = Exp3({"eta": 0.1, "gamma": 0.0})
    state = policy.observe({}, _ARMS, Observation({"net": 0.5}, 0.25))
    assert state == pytest.approx({"log_weight:net": -0.1 * 0.5 / 0.25, "log_weight:svm": 0.0})
    assert policy.weights(state, _ARMS)["net"] == pytest.approx(math.exp(-0.2) / (math.exp(-0.2) + 1))


def test_no_single_loss_costs_more_than_eta_over_gamma() -> None:
    increments = Exp3({"eta": 0.1, "gamma": 0.01}).increments(_ARMS, Observation({"net": 1.0}, 1e-12))
    assert increments["log_weight:net"] == pytest.approx(-10.0)


def test_being_right_changes_nothing() -> None:
    assert Exp3({}).weights(Exp3({}).observe({}, _ARMS, Observation({"net": 0.0}, 0.5)), _ARMS)["net"] == 0.5


def test_a_new_arm_starts_with_the_mean_weight_of_the_others() -> None:
    state = {"log_weight:net": math.log(0.6) - 1e6, "log_weight:svm": math.log(0.2) - 1e6}
    weights = Exp3({}).weights(state, [*_ARMS, "young"])
    assert weights == pytest.approx({"net": 0.5, "svm": 0.5 / 3, "young": 1 / 3}, rel=1e-6)


def test_weights_stay_comparable_after_any_number_of_losses() -> None:
    state = {"log_weight:net": -1e9, "log_weight:svm": -1e9 - 1.0}
    assert Exp3({}).weights(state, _ARMS)["net"] == pytest.approx(1 / (1 + math.exp(-1.0)))
    assert Exp3({}).weights({"log_weight:net": -1e9, "log_weight:svm": 0.0}, _ARMS) == {"net": 0.0, "svm": 1.0}
