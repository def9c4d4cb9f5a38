"""The parameters of the built-in selection policies."""

import math

import pytest

from services.common.errors import InvalidInput
from services.common.names import SELECTION_POLICIES
from services.common.policy_parameters import BUILT_IN, check
from services.query.engine.policies.registry import load


def test_every_built_in_policy_is_there() -> None:
    assert tuple(BUILT_IN) == SELECTION_POLICIES


@pytest.mark.parametrize("policy", BUILT_IN)
def test_they_are_those_of_the_query_service(policy: str) -> None:
    assert load(policy).PARAMETERS is BUILT_IN[policy] or not BUILT_IN[policy]


@pytest.mark.parametrize("policy", BUILT_IN)
def test_a_default_is_in_its_range_and_so_are_the_ends_of_the_range(policy: str) -> None:
    for name, parameter in BUILT_IN[policy].items():
        for value in (parameter.default, parameter.lowest, parameter.highest):
            check(BUILT_IN[policy], {name: value})


@pytest.mark.parametrize("policy", BUILT_IN)
def test_a_value_out_of_range_is_refused_with_the_range(policy: str) -> None:
    for name, parameter in BUILT_IN[policy].items():
        for value in (math.nextafter(parameter.lowest, -math.inf), math.nextafter(parameter.highest, math.inf)):
            with pytest.raises(InvalidInput) as error:
                check(BUILT_IN[policy], {name: value})
            assert f"Invalid value {value} of the parameter '{name}'. It must be from" in str(error.value)


@pytest.mark.parametrize("policy", [policy for policy in BUILT_IN if policy != "static"])
def test_an_unknown_parameter_is_refused_with_the_known_ones(policy: str) -> None:
    with pytest.raises(InvalidInput) as error:
        check(BUILT_IN[policy], {"nonsense": 1.0})
    assert "Unknown parameter 'nonsense' of the selection policy" in str(error.value)
    assert all(f"'{name}'" in str(error.value) for name in BUILT_IN[policy])


def test_a_static_policy_has_a_weight_for_each_model() -> None:
    check(BUILT_IN["static"], {"forest": 3.0, "svm": 0.0})
    with pytest.raises(InvalidInput, match=r"Invalid value -1.0 of the parameter 'svm'\."):
        check(BUILT_IN["static"], {"forest": 3.0, "svm": -1.0})
