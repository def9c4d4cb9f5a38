"""Decisions about model versions."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from services.common.errors import AlreadyExists, ClipperError, Conflict, InvalidInput, NotFound
from services.common.input_schema import InputSchema
from services.common.names import InputType
from services.common.records import Application, CurrentVersion, ModelVersion, Replica
from services.management import models
from tests.fixtures.configurations import after, configuration

FOREST = ModelVersion("forest", "1", InputType.DOUBLES, ("digits",), "forest:1", "/models/forest", 100)
FOREST_2 = dataclasses.replace(FOREST, model_version="2")
OF_TEXTS = dataclasses.replace(FOREST, model_version="3", input_type=InputType.STRINGS)
LINKED = Application("digits", InputType.DOUBLES, "-1.0", 100_000, linked_models=("forest",))
NAMED = dataclasses.replace(FOREST, input_names=("age", "income"))
NAMED_2 = dataclasses.replace(NAMED, model_version="2")
LINKED_BY_NAMES = dataclasses.replace(LINKED, schema=InputSchema(names=("age", "income")))
CURRENT = CurrentVersion("forest", "1")
INCOMPATIBLE = (
    "Model with name 'forest' is already linked to app 'digits' using input type 'doubles'. "
    "The input type you provided for a new version of the model, 'strings', is not compatible."
)


def message(error: pytest.ExceptionInfo[ClipperError]) -> str:
    return str(error.value)


class TestAdd:
    def test_registers_the_version_as_of_the_next_revision_and_makes_it_current(self) -> None:
        known = configuration(FOREST, CURRENT, revision=41)
        known = after(known, models.add(known, FOREST_2))
        assert known.model_versions["forest:2"] == dataclasses.replace(FOREST_2, registration=42)
        assert known.current_versions == {"forest": CurrentVersion("forest", "2")}

    def test_keeps_no_labels_as_no_labels(self) -> None:
        known = configuration()
        known = after(known, models.add(known, dataclasses.replace(FOREST, labels=())))
        assert known.model_versions["forest:1"].labels == ()

    def test_refuses_a_registered_version(self) -> None:
        with pytest.raises(AlreadyExists) as error:
            models.add(configuration(FOREST, CURRENT), FOREST)
        assert message(error) == "model with name 'forest' and version '1' already exists"

    def test_replaces_a_registered_version_and_leaves_the_current_one_and_links(self) -> None:
        known = configuration(FOREST, FOREST_2, CurrentVersion("forest", "2"), LINKED, revision=41)
        other = dataclasses.replace(FOREST, container_name="forest:other", batch_size=7)
        known = after(known, models.add(known, other, replace=True))
        assert known.model_versions["forest:1"] == dataclasses.replace(other, registration=42)
        assert known.current_versions == {"forest": CurrentVersion("forest", "2")}
        assert known.applications == {"digits": LINKED}

    def test_registers_what_there_is_nothing_to_replace_of(self) -> None:
        known = configuration()
        assert after(known, models.add(known, FOREST, replace=True)).current_versions == {"forest": CURRENT}

    def test_replaces_nothing_by_what_takes_something_else(self) -> None:
        texts = dataclasses.replace(FOREST, input_type=InputType.STRINGS)
        with pytest.raises(Conflict) as error:
            models.add(configuration(FOREST, CURRENT), texts, replace=True)
        assert message(error).endswith("takes 'doubles' and cannot be replaced by one that takes 'strings'")

    def test_refuses_a_type_that_a_linked_application_does_not_have(self) -> None:
        with pytest.raises(Conflict) as error:
            models.add(configuration(FOREST, CURRENT, LINKED), OF_TEXTS)
        assert message(error) == INCOMPATIBLE

    def test_takes_another_type_while_no_application_is_linked(self) -> None:
        assert models.add(configuration(FOREST, CURRENT), OF_TEXTS)

    @pytest.mark.parametrize(
        ("changed", "text"),
        [
            ({"model_name": "a:b"}, "Invalid model name supplied: a:b. Contains one of: ',', ':'"),
            ({"model_name": "a,b"}, "Invalid model name supplied: a,b. Contains one of: ',', ':'"),
            ({"model_version": "1:2"}, "Invalid model version supplied: 1:2. Contains one of: ',', ':'"),
            ({"labels": ("good", "b,d")}, "Invalid label supplied: b,d. Contains one of: ',', ':'"),
        ],
    )
    def test_refuses_separators_in_names_and_labels(self, changed: dict[str, str], text: str) -> None:
        with pytest.raises(InvalidInput) as error:
            models.add(configuration(), dataclasses.replace(FOREST, **changed))  # type: ignore[arg-type]
        assert message(error) == text

    @pytest.mark.parametrize("name", ["", "a/b", "-a", "a b", "ä", "a" * 256])
    def test_refuses_a_name_or_version_that_cannot_be_a_path_segment(self, name: str) -> None:
        with pytest.raises(InvalidInput, match="Invalid model name supplied"):
            models.add(configuration(), dataclasses.replace(FOREST, model_name=name))
        with pytest.raises(InvalidInput, match="Invalid model version supplied"):
            models.add(configuration(), dataclasses.replace(FOREST, model_version=name))

    @pytest.mark.parametrize("batch_size", [0, -2])
    def test_refuses_a_batch_size_that_is_neither_positive_nor_the_default(self, batch_size: int) -> None:
        with pytest.raises(InvalidInput) as error:
            models.add(configuration(), dataclasses.replace(FOREST, batch_size=batch_size))
        assert message(error) == "The batch size must be positive or DEFAULT_BATCH_SIZE, which is -1"

    @pytest.mark.parametrize("batch_size", [-1, 1, 2**31 - 1])
    def test_takes_a_positive_batch_size_and_the_default(self, batch_size: int) -> None:
        assert models.add(configuration(), dataclasses.replace(FOREST, batch_size=batch_size))

    @pytest.mark.parametrize("policy", ["clever", "AIMD", " "])
    def test_refuses_an_unknown_batching_policy(self, policy: str) -> None:
        with pytest.raises(InvalidInput) as error:
            models.add(configuration(), dataclasses.replace(FOREST, batching_policy=policy))
        assert message(error) == (
            f"Invalid batching policy '{policy}'. It must be one of 'fixed', 'aimd', 'quantile', 'adaptive'"
        )

    @pytest.mark.parametrize("policy", ["", "fixed", "aimd", "quantile", "adaptive"])
    def test_takes_a_known_batching_policy_with_a_batch_size_as_its_cap(self, policy: str) -> None:
        assert models.add(configuration(), dataclasses.replace(FOREST, batching_policy=policy, batch_size=8))

    @pytest.mark.parametrize("policy", ["", "aimd", "quantile", "adaptive"])
    def test_takes_all_policies_but_the_fixed_one_without_a_batch_size(self, policy: str) -> None:
        assert models.add(configuration(), dataclasses.replace(FOREST, batching_policy=policy, batch_size=-1))

    def test_refuses_fixed_batching_without_a_batch_size(self) -> None:
        with pytest.raises(InvalidInput) as error:
            models.add(configuration(), dataclasses.replace(FOREST, batching_policy="fixed", batch_size=-1))
        assert message(error) == "The batching policy 'fixed' needs a positive batch size"

    def test_refuses_a_negative_batch_delay(self) -> None:
        with pytest.raises(InvalidInput) as error:
            models.add(configuration(), dataclasses.replace(FOREST, batch_delay_micros=-1))
        assert message(error) == "The batch delay must not be negative, but it is -1 microseconds"

    @pytest.mark.parametrize(
        ("changed", "text"),
        [
            ({"input_names": ("age", "age")}, "An input cannot have the name 'age' twice"),
            ({"input_names": ("",)}, "Invalid name of an element: ''"),
            ({"input_names": tuple(map(str, range(4_097)))}, "at most 4096 names"),
            ({"input_type": InputType.STRINGS}, "Elements of 'strings' have no names. input_names are for numbers"),
            ({"input_type": InputType.BYTES}, "Elements of 'bytes' have no names. input_names are for numbers"),
        ],
    )
    def test_refuses_names_that_inputs_cannot_have(self, changed: dict[str, Any], text: str) -> None:
        with pytest.raises(InvalidInput) as error:
            models.add(configuration(), dataclasses.replace(NAMED, **changed))
        assert text in message(error)


class TestNamesOfLinkedApplications:
    @pytest.mark.parametrize("version", [NAMED_2, FOREST_2], ids=["the same", "none"])
    def test_allow_a_version_with_the_same_and_one_without(self, version: ModelVersion) -> None:
        known = configuration(NAMED, CURRENT, LINKED_BY_NAMES)
        known = after(known, models.add(known, version))
        assert models.set_current(known, "forest", "1")
        assert models.add(known, dataclasses.replace(version, batch_size=7), replace=True)

    def test_that_are_none_allow_a_version_with_any(self) -> None:
        known = configuration(FOREST, CURRENT, LINKED)
        assert models.add(known, NAMED_2)
        assert models.add(known, NAMED, replace=True)

    @pytest.mark.parametrize("names", [("income", "age"), ("age",), ("age", "income", "size"), ("age", "Income")])
    def test_refuse_a_version_with_others_or_in_another_order_whatever_makes_it_current(
        self, names: tuple[str, ...]
    ) -> None:
        other = dataclasses.replace(NAMED_2, input_names=names)
        known = configuration(NAMED, CURRENT, LINKED_BY_NAMES)
        with_other = configuration(NAMED, other, CURRENT, LINKED_BY_NAMES)
        instead = dataclasses.replace(NAMED, input_names=names)
        changes: list[Callable[[], object]] = [
            lambda: models.add(known, other),
            lambda: models.add(known, instead, replace=True),
            lambda: models.set_current(with_other, "forest", "2"),
        ]
        for change in changes:
            with pytest.raises(Conflict) as error:
                change()
            assert "already linked to app 'digits' whose schema has the names (age, income)" in message(error)
            assert f"({', '.join(names)}), are not compatible" in message(error)

    def test_do_not_matter_to_a_replaced_version_that_is_not_current(self) -> None:
        known = configuration(NAMED, NAMED_2, CURRENT, LINKED_BY_NAMES)
        assert models.add(known, dataclasses.replace(NAMED_2, input_names=("income", "age")), replace=True)


class TestDelete:
    def test_of_the_current_version_leaves_the_model_without_one_and_linked(self) -> None:
        known = configuration(FOREST, FOREST_2, CURRENT, LINKED)
        known = after(known, models.delete(known, "forest", "1"))
        assert list(known.model_versions) == ["forest:2"]
        assert known.current_versions == {}
        assert known.applications["digits"] == LINKED

    def test_of_another_version_keeps_the_current_one(self) -> None:
        known = configuration(FOREST, FOREST_2, CURRENT)
        known = after(known, models.delete(known, "forest", "2"))
        assert known.current_versions == {"forest": CURRENT}

    def test_of_the_last_version_removes_the_links_of_this_model_alone(self) -> None:
        other = dataclasses.replace(LINKED, name="texts", linked_models=("svm",))
        known = configuration(FOREST, CURRENT, LINKED, other, ModelVersion("svm", "1", InputType.DOUBLES))
        known = after(known, models.delete(known, "forest", "1"))
        assert known.applications["digits"].linked_models == ()
        assert known.applications["texts"].linked_models == ("svm",)

    def test_leaves_no_trace_for_a_version_that_is_registered_again(self) -> None:
        known = configuration(FOREST, CURRENT, LINKED, revision=7)
        known = after(known, models.delete(known, "forest", "1"))
        known = after(known, models.add(known, OF_TEXTS))
        assert known.model_versions == {"forest:3": dataclasses.replace(OF_TEXTS, registration=9)}

    def test_leaves_the_leases_of_replicas_to_their_holders(self) -> None:
        replica = Replica("forest", "1", 0, InputType.DOUBLES, "h:1")
        known = configuration(FOREST, CURRENT, replica)
        assert after(known, models.delete(known, "forest", "1")).replicas == {replica.key: replica}

    def test_refuses_an_unknown_version(self) -> None:
        with pytest.raises(NotFound) as error:
            models.delete(configuration(FOREST), "forest", "9")
        assert message(error) == "model with name 'forest' and version '9' does not exist"


class TestSetCurrent:
    def test_makes_the_version_current(self) -> None:
        known = configuration(FOREST, FOREST_2, CURRENT)
        known = after(known, models.set_current(known, "forest", "2"))
        assert models.is_current(known, FOREST_2)
        assert not models.is_current(known, FOREST)

    def test_of_the_current_version_changes_nothing(self) -> None:
        assert models.set_current(configuration(FOREST, CURRENT), "forest", "1") == []

    def test_refuses_an_unknown_model(self) -> None:
        with pytest.raises(NotFound) as error:
            models.set_current(configuration(FOREST), "oak", "1")
        assert message(error) == "Cannot set version for nonexistent model 'oak'"

    def test_refuses_an_unknown_version(self) -> None:
        with pytest.raises(NotFound) as error:
            models.set_current(configuration(FOREST), "forest", "9")
        assert message(error) == "Cannot set non-existent version '9' for model with name 'forest'"

    def test_refuses_a_type_that_a_linked_application_does_not_have(self) -> None:
        with pytest.raises(Conflict) as error:
            models.set_current(configuration(FOREST, OF_TEXTS, CURRENT, LINKED), "forest", "3")
        assert message(error) == INCOMPATIBLE
