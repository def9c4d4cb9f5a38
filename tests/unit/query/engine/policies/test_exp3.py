"""exp3: weights by importance-weighted losses."""

import math
from random import Random

import pytest

from services.query.engine.policies.exp3 import Exp3
from services.query.engine.policies.policy import Observation, State

_ARMS = ("net", "svm")


def test_a_loss_divided_by_the_choices_probability_lowers_the_weight_exponentially() -> None:
    policy = Exp3({"eta": 0.1, "gamma": 0.0})
    state = policy.observe({}, _ARMS, Observation({"net": 0.5}, 0.25))
    assert state["log_weight:net"] - state["log_weight:svm"] == pytest.approx(-0.1 * 0.5 / 0.25)
    assert policy.weights(state, _ARMS)["net"] == pytest.approx(math.exp(-0.2) / (math.exp(-0.2) + 1))


def test_no_single_loss_costs_more_than_eta_over_gamma() -> None:
    policy = Exp3({"eta": 0.1, "gamma": 0.01})
    changes = [policy.increments(_ARMS, Observation({"net": 1.0}, 10.0**-digits)) for digits in range(13)]
    costs = [change.get("log_weight:svm", 0.0) - change.get("log_weight:net", 0.0) for change in changes]
    assert 4.0 < max(costs) < 10.0


def test_an_arm_is_never_out_of_reach_and_pays_nothing_for_being_asked_for_that() -> None:
    policy = Exp3({"gamma": 0.01})
    state = {"log_weight:net": 0.0, "log_weight:svm": -1e9}
    assert policy.weights(state, _ARMS) == pytest.approx({"net": 0.999, "svm": 0.001})
    assert policy.increments(_ARMS, Observation({"svm": 1.0}, 0.001)) == {}


def test_what_an_arm_loses_is_given_back_to_all_that_could_be_asked() -> None:
    policy, arms = Exp3({}), ("away", *_ARMS)
    state: State = {"log_weight:away": math.log(0.2), "log_weight:net": math.log(0.6), "log_weight:svm": math.log(0.2)}
    before = policy.weights(state, arms)["away"]
    random = Random(1)
    for _ in range(500):
        (arm,), probability = policy.select(state, _ARMS, (), random)
        state = policy.observe(state, arms, Observation({arm: 1.0}, probability, away=("away",)))
    assert policy.weights(state, arms)["away"] == pytest.approx(before, rel=1e-6)


def test_feedback_that_is_late_slows_it_down_whatever_order_it_comes_in() -> None:
    policy, lag, random = Exp3({}), 1_000, Random(1)
    noted = [max(0.0, number - lag) for number in range(20_000)]
    random.shuffle(noted)
    state: State = {}
    for learned in noted:
        state = policy.observe(state, _ARMS, Observation({"net": 0.0}, 0.5, note=(learned, 1.0)))
    learned, pace = policy.note(state)
    assert learned == len(noted)
    assert pace * 0.1 == pytest.approx(20 / lag, rel=0.05)
    assert policy.note({"log_weight:net": -3.0}) == (0.0, 1.0)


def test_being_right_changes_nothing() -> None:
    assert Exp3({}).weights(Exp3({}).observe({}, _ARMS, Observation({"net": 0.0}, 0.5)), _ARMS)["net"] == 0.5


def test_a_new_arm_starts_with_the_mean_weight_of_the_others() -> None:
    state = {"log_weight:net": math.log(0.6) - 1e6, "log_weight:svm": math.log(0.2) - 1e6}
    weights = Exp3({}).weights(state, [*_ARMS, "young"])
    assert weights == pytest.approx({"net": 0.5, "svm": 0.5 / 3, "young": 1 / 3}, abs=3e-4)


def test_weights_stay_comparable_after_any_number_of_losses() -> None:
    state = {"log_weight:net": -1e9, "log_weight:svm": -1e9 - 1.0}
    policy = Exp3({"gamma": 0.0})
    assert policy.weights(state, _ARMS)["net"] == pytest.approx(1 / (1 + math.exp(-1.0)))
    assert policy.weights({"log_weight:net": -1e9, "log_weight:svm": 0.0}, _ARMS) == {"net": 0.0, "svm": 1.0}
