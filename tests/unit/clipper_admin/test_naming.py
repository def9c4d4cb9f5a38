"""Names of models and versions, and of inputs."""

from typing import Any

import pytest

from clipper_admin import ClipperException
from clipper_admin.naming import check_input_names, check_model_name, check_model_version, next_version


@pytest.mark.parametrize("name", ["m", "sum-model", "2d-pose", "a0"])
def test_lower_case_letters_digits_and_hyphens_name_a_model(name: str) -> None:
    assert check_model_name(name) == name


@pytest.mark.parametrize("name", ["", "Sum", "sum_model", "-sum", "sum-", "sum.model", "sum model", "sum\n", "süm"])
def test_anything_else_is_refused_with_the_rule(name: str) -> None:
    with pytest.raises(ClipperException) as refused:
        check_model_name(name)

    assert refused.value.msg.startswith(f"Invalid value: {name}: a model name must be a valid DNS-1123  subdomain.")


def test_versions_become_text_and_obey_the_same_rule() -> None:
    assert check_model_version(1) == "1"
    with pytest.raises(ClipperException, match=r"^Invalid value: 1\.0: a model version must be a valid DNS-1123 "):
        check_model_version("1.0")


@pytest.mark.parametrize(
    ("versions", "following"),
    [([], "1"), (["1", "2"], "3"), (["2", "10"], "11"), (["7", "v8", "2024-01"], "8"), (["blue"], "1")],
    ids=["none", "numbers", "by value", "names beside", "names alone"],
)
def test_the_next_version_counts_on_from_the_largest_number(versions: list[str], following: str) -> None:
    assert next_version(versions) == following


@pytest.mark.parametrize("input_type", ["integers", "floats", "doubles", "ints", "d"])
def test_elements_of_numbers_have_names(input_type: str) -> None:
    assert check_input_names(iter(["age", "income"]), input_type) == ("age", "income")


@pytest.mark.parametrize("input_type", ["bytes", "strings", "s"])
def test_those_of_anything_else_have_none(input_type: str) -> None:
    assert check_input_names([], input_type) == ()
    with pytest.raises(ClipperException, match=f"for integers, floats, doubles, and the model takes '{input_type}'"):
        check_input_names(["age"], input_type)


@pytest.mark.parametrize(
    ("names", "says"), [("age", r"one name is input_names=\['age'\]"), ([1], "must be a str, not 1")]
)
def test_what_is_no_list_of_names_is_refused(names: Any, says: str) -> None:
    with pytest.raises(ClipperException, match=says):
        check_input_names(names, "doubles")
