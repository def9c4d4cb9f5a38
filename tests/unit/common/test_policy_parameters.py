"""The parameters of the built-in selection policies."""

import math
from functools import partial

import pytest

from services.common import policy_parameters
from services.common.errors import InvalidInput
from services.common.names import SELECTION_POLICIES
from services.common.policy_parameters import BUILT_IN
from services.query.engine.selection.registry import load


def test_every_built_in_policy_is_there() -> None:
    assert tuple(BUILT_IN) == SELECTION_POLICIES


@pytest.mark.parametrize("policy", [policy for policy in BUILT_IN if policy != "static"])
def test_they_are_those_of_the_query_service(policy: str) -> None:
    here, there = BUILT_IN[policy], load(policy).PARAMETERS
    assert {name: tuple(here[name]) for name in here} == {name: tuple(there[name]) for name in there}


@pytest.mark.parametrize("weight", [-1.0, 0.0, 1.0, 1e9, 2e9])
def test_a_weight_of_a_static_policy_is_taken_here_when_the_query_service_takes_it(weight: float) -> None:
    refusals = []
    for attempt in (partial(policy_parameters.check, "static"), load("static")):
        try:
            attempt({"forest": weight})
        except InvalidInput as refused:
            refusals.append(str(refused))
    assert len(refusals) in (0, 2)
    assert len(set(refusals)) <= 1


@pytest.mark.parametrize("policy", BUILT_IN)
def test_a_default_is_in_its_range_and_so_are_the_ends_of_the_range(policy: str) -> None:
    for name, parameter in BUILT_IN[policy].items():
        for value in (parameter.default, parameter.lowest, parameter.highest):
            policy_parameters.check(policy, {name: value})


@pytest.mark.parametrize("policy", BUILT_IN)
def test_a_value_out_of_range_is_refused_with_the_range(policy: str) -> None:
    for name, parameter in BUILT_IN[policy].items():
        for value in (math.nextafter(parameter.lowest, -math.inf), math.nextafter(parameter.highest, math.inf)):
            with pytest.raises(InvalidInput) as error:
                policy_parameters.check(policy, {name: value})
            assert f"Invalid value {value} of the parameter '{name}'. It must be from" in str(error.value)


@pytest.mark.parametrize("policy", [policy for policy in BUILT_IN if policy != "static"])
def test_an_unknown_parameter_is_refused_with_the_known_ones(policy: str) -> None:
    with pytest.raises(InvalidInput) as error:
        policy_parameters.check(policy, {"nonsense": 1.0})
    assert f"Unknown parameter 'nonsense' of the selection policy '{policy}'" in str(error.value)
    assert all(f"'{name}'" in str(error.value) for name in BUILT_IN[policy])


def test_a_static_policy_has_a_weight_for_each_model() -> None:
    policy_parameters.check("static", {"forest": 3.0, "svm": 0.0})
    with pytest.raises(InvalidInput, match=r"Invalid value -1.0 of the parameter 'svm'\."):
        policy_parameters.check("static", {"forest": 3.0, "svm": -1.0})
