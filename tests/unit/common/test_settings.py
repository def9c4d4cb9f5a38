"""Settings from the environment."""

from dataclasses import dataclass

import pytest

from services.common.errors import InvalidInput
from services.common.settings import from_environment
from services.management.settings import Settings as ManagementSettings
from services.query.settings import Settings as QuerySettings


@dataclass(frozen=True)
class Settings:
    redis_url: str
    retries: int = 3
    drain_grace_s: float = 10.0
    words: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.retries < 0:
            raise InvalidInput("CLIPPER_RETRIES must not be negative")


def test_each_field_is_read_from_its_variable_with_its_type() -> None:
    environment = {"CLIPPER_REDIS_URL": "redis://r", "CLIPPER_RETRIES": "5", "CLIPPER_DRAIN_GRACE_S": "0.5"}
    assert from_environment(Settings, environment) == Settings("redis://r", 5, 0.5)


def test_variables_that_are_unset_or_empty_leave_the_default() -> None:
    assert from_environment(Settings, {"CLIPPER_REDIS_URL": "r", "CLIPPER_RETRIES": ""}) == Settings("r")


def test_other_variables_are_none_of_its_business() -> None:
    environment = {"CLIPPER_REDIS_URL": "r", "CLIPPER_OTHER": "x", "RETRIES": "x", "clipper_retries": "x"}
    assert from_environment(Settings, environment) == Settings("r")


@pytest.mark.parametrize("environment", [{}, {"CLIPPER_REDIS_URL": ""}, {"REDIS_URL": "r"}])
def test_a_field_without_default_must_be_set(environment: dict[str, str]) -> None:
    with pytest.raises(InvalidInput, match="CLIPPER_REDIS_URL must be set"):
        from_environment(Settings, environment)


@pytest.mark.parametrize(
    ("variable", "text", "wanted"),
    [("CLIPPER_RETRIES", "1.5", "int"), ("CLIPPER_RETRIES", "many", "int"), ("CLIPPER_DRAIN_GRACE_S", "1s", "float")],
)
def test_a_value_of_another_type_is_refused_with_the_variable_and_the_type(
    variable: str, text: str, wanted: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        from_environment(Settings, {"CLIPPER_REDIS_URL": "r", variable: text})
    assert str(refused.value) == f"The environment variable {variable} must be of type {wanted}: '{text}'"


def test_what_the_class_refuses_is_passed_on() -> None:
    with pytest.raises(InvalidInput, match="must not be negative"):
        from_environment(Settings, {"CLIPPER_REDIS_URL": "r", "CLIPPER_RETRIES": "-1"})


def test_the_query_service_needs_nothing_but_redis() -> None:
    settings = from_environment(QuerySettings, {"CLIPPER_REDIS_URL": "redis://r"})
    assert settings == QuerySettings(redis_url="redis://r")


@pytest.mark.parametrize(
    ("text", "words"), [("one", ("one",)), ("one,two", ("one", "two")), (" one , ,two,", ("one", "two")), (",", ())]
)
def test_several_words_are_written_with_commas(text: str, words: tuple[str, ...]) -> None:
    environment = {"CLIPPER_REDIS_URL": "r", "CLIPPER_WORDS": text}
    assert from_environment(Settings, environment) == Settings("r", words=words)


@pytest.mark.parametrize("settings", [QuerySettings, ManagementSettings])
def test_prefixes_of_policies_are_names_of_modules(settings: type) -> None:
    environment = {"CLIPPER_REDIS_URL": "r", "CLIPPER_ADDRESS": "host:1"}
    for prefixes in ("mine", "mine.policies,others"):
        from_environment(settings, environment | {"CLIPPER_POLICY_PREFIXES": prefixes})
    for prefix in ("mine.", "../mine", "mine:Class", "*", "mine policies"):
        with pytest.raises(InvalidInput, match="CLIPPER_POLICY_PREFIXES must list names of modules"):
            from_environment(settings, environment | {"CLIPPER_POLICY_PREFIXES": prefix})
