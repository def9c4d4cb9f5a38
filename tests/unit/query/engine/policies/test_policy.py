"""What all built-in policies have in common."""

import math
from collections import Counter
from collections.abc import Mapping
from random import Random

import pytest

from services.common.errors import InvalidInput
from services.common.names import SELECTION_POLICIES
from services.common.policy_parameters import MODEL_NAME
from services.query.engine.policies.policy import AdditivePolicy, Observation, SelectionPolicy, State
from services.query.engine.policies.registry import load

_ARMS = ("forest", "net", "svm")
_FEATURES = (0.5, -2.0, 1.0)

every_policy = pytest.mark.parametrize("name", SELECTION_POLICIES)


def _made(name: str, parameters: Mapping[str, float] | None = None) -> SelectionPolicy:
    return load(name)(parameters or {})


def _observations(seed: int, count: int) -> list[Observation]:
    """Of one arm each, or of all."""
    seeded = Random(seed)
    return [
        Observation(
            {arm: seeded.choice((0.0, 0.25, 1.0)) for arm in seeded.choice([_ARMS, _ARMS[:1], _ARMS[1:2], _ARMS[2:]])},
            seeded.uniform(0.01, 1.0),
            [seeded.gauss(0.0, 1.0) for _ in _FEATURES],
        )
        for _ in range(count)
    ]


def _after(policy: SelectionPolicy, observations: list[Observation], state: State | None = None) -> State:
    state = state or {}
    for observation in observations:
        state = policy.observe(state, _ARMS, observation)
    return state


def _states(policy: SelectionPolicy) -> list[State]:
    return [{}, _after(policy, _observations(1, 1)), _after(policy, _observations(2, 200))]


@every_policy
def test_weights_sum_to_1(name: str) -> None:
    policy = _made(name)
    for state in _states(policy):
        weights = policy.weights(state, _ARMS)
        assert tuple(weights) == _ARMS
        assert sum(weights.values()) == pytest.approx(1.0)
        assert min(weights.values()) >= 0.0


@pytest.mark.parametrize("name", [name for name in SELECTION_POLICIES if name != "linucb" and not load(name).asks_all])
def test_arms_are_drawn_as_often_as_the_weights_say_and_the_choice_tells_its_probability(name: str) -> None:
    policy, random = _made(name), Random(1)
    for state in _states(policy):
        weights = policy.weights(state, _ARMS)
        choices = [policy.select(state, _ARMS, (), random) for _ in range(4_000)]
        assert all(choice.probability == pytest.approx(weights[choice.arms[0]]) for choice in choices)
        drawn = Counter(choice.arms for choice in choices)
        for arm in _ARMS:
            assert drawn[arm,] / len(choices) == pytest.approx(weights[arm], abs=0.04)


@every_policy
def test_only_arms_that_may_be_asked_are_chosen(name: str) -> None:
    policy = _made(name)
    for state in _states(policy):
        assert policy.select(state, _ARMS[1:2], _FEATURES, Random(1)) == (("net",), 1.0)


@every_policy
def test_a_new_arm_is_welcome_in_a_state_that_does_not_know_it(name: str) -> None:
    policy = _made(name)
    state = _after(policy, _observations(1, 50))
    arms = (*_ARMS, "young")
    assert sum(policy.weights(state, arms).values()) == pytest.approx(1.0)
    assert set(policy.select(state, arms, _FEATURES, Random(1)).arms) <= set(arms)
    after = policy.observe(state, arms, Observation({"young": 0.5}, 0.25, _FEATURES))
    assert sum(policy.weights(after, arms).values()) == pytest.approx(1.0)


@every_policy
def test_init_says_what_the_state_lacks_and_nothing_once_it_has_it(name: str) -> None:
    policy = _made(name)
    missing = policy.init({}, _ARMS)
    assert policy.init(missing, _ARMS) == {}
    assert policy.weights(missing, _ARMS) == policy.weights({}, _ARMS)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", [name for name in SELECTION_POLICIES if load(name).additive])
def test_the_order_of_observations_does_not_matter_to_an_additive_policy(name: str, seed: int) -> None:
    policy, observations = _made(name), _observations(seed, 60)
    shuffled = Random(seed).sample(observations, len(observations))
    assert _after(policy, shuffled) == pytest.approx(_after(policy, observations))


@pytest.mark.parametrize("name", [name for name in SELECTION_POLICIES if load(name).additive])
def test_what_several_services_add_at_once_is_what_one_would_have_learned(name: str) -> None:
    policy, observations = _made(name), _observations(1, 60)
    assert isinstance(policy, AdditivePolicy)
    state = dict(policy.init({}, _ARMS))
    for increments in [policy.increments(_ARMS, observation) for observation in observations]:
        for key, increment in increments.items():
            state[key] = state.get(key, 0.0) + increment
    assert state == pytest.approx(_after(policy, observations))


def test_exp4_is_not_additive_as_what_came_last_counts_for_more() -> None:
    policy = _made("exp4")
    good, bad = Observation({"forest": 0.0, "net": 1.0}), Observation({"forest": 1.0, "net": 0.0})
    assert not policy.additive
    assert policy.weights(_after(policy, [good] * 500 + [bad] * 200), _ARMS)["net"] > 0.5
    assert policy.weights(_after(policy, [bad] * 200 + [good] * 500), _ARMS)["forest"] > 0.5


@every_policy
def test_states_are_left_as_they_are_and_hold_numbers_only(name: str) -> None:
    policy = _made(name)
    state = dict(_after(policy, _observations(1, 20)))
    before = dict(state)
    policy.select(state, _ARMS, _FEATURES, Random(1))
    policy.observe(state, _ARMS, _observations(3, 1)[0])
    assert state == before
    assert all(type(value) is float and math.isfinite(value) for value in state.values())


@pytest.mark.parametrize("name", ["epsilon_greedy", "ucb1", "thompson", "exp3", "exp4", "linucb"])
def test_losses_cost_an_arm_weight(name: str) -> None:
    policy = _made(name)
    state = _after(policy, [Observation({"forest": 0.0, "net": 1.0, "svm": 1.0})] * 100)
    assert policy.select(state, _ARMS, _FEATURES, Random(1)).arms in (("forest",), _ARMS)
    if name != "linucb":
        weights = policy.weights(state, _ARMS)
        assert weights["forest"] > 0.85


@pytest.mark.parametrize(
    ("name", "parameters", "told"),
    [
        ("exp3", {"etta": 0.1}, r"Unknown parameter 'etta' of the selection policy\. It takes: 'eta', 'gamma'"),
        ("majority", {"eta": 0.1}, r"Unknown parameter 'eta' of the selection policy\. It takes: none"),
        ("epsilon_greedy", {"epsilon": 1.5}, r"Invalid value 1\.5 of the parameter 'epsilon'\. It must be from 0 to 1"),
        ("exp4", {"eta": math.nan}, "Invalid value nan of the parameter 'eta'"),
        ("static", {"forest": -1.0}, r"Invalid value -1\.0 of the parameter 'forest'"),
    ],
)
def test_parameters_that_make_no_sense_are_refused_with_what_would(
    name: str, parameters: dict[str, float], told: str
) -> None:
    with pytest.raises(InvalidInput, match=told):
        load(name)(parameters)


@every_policy
def test_defaults_and_bounds_are_allowed(name: str) -> None:
    for parameter, (default, lowest, highest) in load(name).PARAMETERS.items():
        assert lowest <= default <= highest
        for value in (lowest, highest):
            assert _made(name, {parameter: value}).parameters[parameter] == value
        if parameter != MODEL_NAME:
            assert _made(name).parameters[parameter] == default
