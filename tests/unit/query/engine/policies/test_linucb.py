"""linucb: what inputs say about which arm to ask."""

from random import Random

import numpy as np
import pytest

from services.query.engine.policies.features import MOST_FEATURES, project
from services.query.engine.policies.linucb import LinUcb
from services.query.engine.policies.policy import Observation, State

_ARMS = ("net", "svm")


def _learned(policy: LinUcb, inputs: list[list[float]], losses: list[dict[str, float]]) -> State:
    state: State = {}
    for features, loss in zip(inputs, losses, strict=True):
        state = policy.observe(state, _ARMS, Observation(loss, 1.0, features))
    return state


@pytest.mark.parametrize("units", [(1.0, 1.0, 1.0), (1e-6, 1.0, 1e-3)])
def test_its_bounds_are_those_of_ridge_regression_in_standard_units(units: tuple[float, ...]) -> None:
    seeded = np.random.default_rng(1)
    inputs = seeded.uniform(-0.5, 0.5, (40, 3)) * units
    losses = seeded.uniform(0.0, 1.0, (40, 2))
    policy = LinUcb({"alpha": 0.7})
    state = _learned(policy, inputs.tolist(), [dict(zip(_ARMS, row, strict=True)) for row in losses.tolist()])
    means, deviations = np.arcsinh(inputs).mean(0), np.arcsinh(inputs).std(0) * np.sqrt(3)
    x = np.hstack([np.ones((40, 1)), (np.arcsinh(inputs) - means) / deviations])
    inverse = np.linalg.inv(np.eye(4) + x.T @ x)
    for features in seeded.uniform(-0.5, 0.5, (20, 3)) * units:
        probe = np.array([1.0, *(np.arcsinh(features) - means) / deviations])
        bounds = (inverse @ x.T @ (1 - losses)).T @ probe + 0.7 * np.sqrt(probe @ inverse @ probe)
        assert policy.select(state, _ARMS, features.tolist(), Random(1)).arms == (_ARMS[int(bounds.argmax())],)


def test_it_asks_the_arm_that_is_right_about_inputs_of_this_kind() -> None:
    policy = LinUcb({})
    inputs = [[float(number % 2), float(1 - number % 2)] for number in range(200)]
    state = _learned(policy, inputs, [{"net": features[0], "svm": features[1]} for features in inputs])
    assert policy.select(state, _ARMS, [0.0, 1.0], Random(1)).arms == ("net",)
    assert policy.select(state, _ARMS, [1.0, 0.0], Random(1)).arms == ("svm",)


def test_a_state_of_before_sums_were_in_own_units_tells_which_arm_is_good_on_the_whole() -> None:
    state = {"a:net:0:0": 50.0, "b:net:0": 45.0, "a:svm:0:0": 50.0, "b:svm:0": 10.0, "a:net:0:1": 7.0}
    assert LinUcb({}).select(state, _ARMS, [1.0, 2.0], Random(1)).arms == ("net",)
    assert LinUcb({}).weights(state, _ARMS) == {"net": 0.5, "svm": 0.5}


def test_an_arm_that_is_new_gets_a_tenth_of_the_inputs() -> None:
    state = _learned(LinUcb({}), [[1.0], [2.0]] * 50, [{"net": 0.9}] * 100)
    assert LinUcb({}).shares(state, _ARMS, [1.5]) == pytest.approx([0.9, 0.1])


def test_it_learns_of_any_size_of_numbers_and_is_not_thrown_by_what_is_none() -> None:
    policy = LinUcb({})
    wild = [[1e308, -1e308], [float("nan"), float("inf")], [1e9, 1e9], [0.0, 0.0]]
    state = _learned(policy, wild * 50, [{"net": 0.0, "svm": 1.0}] * 200)
    for features in wild:
        assert policy.select(state, _ARMS, features, Random(1)).arms == ("net",)


def test_inputs_of_different_lengths_share_what_they_have_in_common() -> None:
    policy = LinUcb({})
    state = _learned(policy, [[1.0, 0.0, 1.0], [1.0]] * 50, [{"net": 0.0, "svm": 1.0}] * 100)
    for features in ([], [1.0], [1.0, 0.0], [1.0] * 784):
        assert policy.select(state, _ARMS, features, Random(1)).arms == ("net",)


def test_its_weights_tell_how_often_each_arm_was_observed() -> None:
    state = _learned(LinUcb({}), [[1.0]] * 4, [{"net": 0.0}, {"net": 1.0}, {"net": 0.0}, {"svm": 0.0}])
    assert LinUcb({}).weights(state, _ARMS) == pytest.approx({"net": 0.75, "svm": 0.25})


def test_what_it_keeps_is_bounded_however_long_the_inputs_are() -> None:
    state = LinUcb({}).observe({}, _ARMS, Observation({"net": 0.5}, 1.0, [1.0] * 10_000))
    assert len(state) <= (MOST_FEATURES + 1) * (MOST_FEATURES + 4) / 2


def test_short_inputs_are_taken_as_they_are_and_projected_ones_stay_as_they_are() -> None:
    short, long = [0.5] * MOST_FEATURES, [0.5] * (MOST_FEATURES + 1)
    assert project(short).tolist() == short
    assert len(project(long)) == MOST_FEATURES
    assert project(project(long)).tolist() == project(long).tolist()


def test_a_projection_nearly_preserves_distances() -> None:
    inputs = np.random.default_rng(1).standard_normal((100, 784))
    ratios = [
        float(np.linalg.norm(project(one) - project(other)) / np.linalg.norm(one - other))
        for one, other in zip(inputs[:50], inputs[50:], strict=True)
    ]
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.05)
    assert min(ratios) > 0.6
    assert max(ratios) < 1.4
