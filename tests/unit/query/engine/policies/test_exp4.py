"""exp4: an ensemble with learned weights."""

import math

import pytest

from services.query.engine.policies.exp4 import Exp4
from services.query.engine.policies.policy import Observation, State

_ARMS = ("forest", "net", "svm")


def test_each_arm_that_answered_pays_for_its_own_loss() -> None:
    policy = Exp4({"eta": 0.5, "share": 1e-9})
    weights = policy.weights(policy.observe({}, _ARMS, Observation({"forest": 0.0, "net": 0.5, "svm": 1.0})), _ARMS)
    assert weights["net"] / weights["forest"] == pytest.approx(math.exp(-0.25))
    assert weights["svm"] / weights["forest"] == pytest.approx(math.exp(-0.5))


def test_an_arm_that_did_not_answer_keeps_its_weight() -> None:
    policy = Exp4({"eta": 0.5, "share": 1e-9})
    weights = policy.weights(policy.observe({}, _ARMS, Observation({"forest": 0.0, "net": 1.0})), _ARMS)
    assert weights["svm"] == pytest.approx(1 / 3)
    assert weights["forest"] > 1 / 3 > weights["net"]


def test_an_arm_that_is_away_shares_nothing_and_gets_nothing_of_the_share() -> None:
    policy, state = Exp4({}), {"weight:forest": 0.001, "weight:net": 0.6, "weight:svm": 0.399}
    before: State = state
    for _ in range(24_000):
        before = policy.observe(before, _ARMS, Observation({"net": 0.0, "svm": 1.0}))
    assert policy.weights(before, _ARMS)["forest"] == pytest.approx(0.001)


def test_feedback_that_nobody_answered_for_teaches_nothing() -> None:
    policy = Exp4({})
    assert policy.weights(policy.observe({}, _ARMS, Observation({})), _ARMS) == pytest.approx(policy.weights({}, _ARMS))


def test_no_weight_falls_below_its_part_of_the_share() -> None:
    policy, state = Exp4({"share": 0.03}), Exp4({}).init({}, _ARMS)
    for _ in range(1_000):
        state = policy.observe(state, _ARMS, Observation({"forest": 0.0, "net": 1.0, "svm": 1.0}))
    assert policy.weights(state, _ARMS)["net"] > 0.01


def test_a_new_arm_starts_with_the_mean_weight_of_the_others() -> None:
    weights = Exp4({}).weights({"weight:forest": 0.75, "weight:net": 0.25}, _ARMS)
    assert weights == pytest.approx({"forest": 0.5, "net": 0.5 / 3, "svm": 1 / 3})


def test_what_was_learned_of_an_unlinked_arm_is_kept_for_its_return() -> None:
    state = Exp4({}).observe({"weight:gone": 0.5, "weight:net": 0.5}, ["net"], Observation({"net": 1.0, "gone": 1.0}))
    assert state == pytest.approx({"weight:gone": 0.5, "weight:net": 1.0})


def test_the_vote_is_by_weight_and_the_confidence_by_heads() -> None:
    state = {"weight:forest": 0.6, "weight:net": 0.2, "weight:svm": 0.2}
    said = {"forest": "cat", "net": "dog", "svm": "dog"}
    assert Exp4({}).combine(state, _ARMS, said) == ("cat", 1 / 3)


def test_numbers_are_averaged_by_weight_where_the_application_says_so() -> None:
    state = {"weight:forest": 0.6, "weight:net": 0.2, "weight:svm": 0.2}
    policy = Exp4({"tolerance": 1.0}, "average")
    output, confidence = policy.combine(state, _ARMS, {"forest": "2.0", "net": "1", "svm": "6"})
    assert float(output) == pytest.approx(2.6)
    assert confidence == 1 / 3
