"""Decisions about applications and links."""

import dataclasses
import math

import pytest

from services.common.errors import AlreadyExists, ClipperError, Conflict, InvalidInput, NotFound
from services.common.input_schema import InputSchema, Range
from services.common.names import InputType
from services.common.policies import BUILT_IN
from services.common.records import Application, CurrentVersion, ModelVersion
from services.management import applications
from tests.fixtures.configurations import after, configuration

DIGITS = Application("digits", InputType.DOUBLES, "-1.0", 100_000)
LINKED = dataclasses.replace(DIGITS, linked_models=("forest",))
CLEVER = Application("clever", InputType.DOUBLES, "-1.0", 100_000, selection_policy="exp3")
FOREST = ModelVersion("forest", "1", InputType.DOUBLES)
FOREST_OF_TEXTS = ModelVersion("forest", "2", InputType.STRINGS)
SVM = ModelVersion("svm", "1", InputType.DOUBLES)


def with_forest(application: Application = DIGITS) -> tuple[Application, ModelVersion, CurrentVersion]:
    return application, FOREST, CurrentVersion("forest", "1")


def message(error: pytest.ExceptionInfo[ClipperError]) -> str:
    return str(error.value)


class TestAdd:
    def test_registers_the_application_as_of_the_next_revision(self) -> None:
        known = configuration(revision=41)
        registered = after(known, applications.add(known, DIGITS)).applications
        assert registered == {"digits": dataclasses.replace(DIGITS, registration=42)}

    def test_refuses_a_taken_name(self) -> None:
        with pytest.raises(AlreadyExists) as error:
            applications.add(configuration(DIGITS), DIGITS)
        assert message(error) == "application 'digits' already exists"

    @pytest.mark.parametrize("name", ["", "a/b", "a:b", "-a", "a b", "ä", "a\n", "a" * 256])
    def test_refuses_a_name_that_cannot_be_a_path_segment(self, name: str) -> None:
        with pytest.raises(InvalidInput, match="Invalid application name supplied"):
            applications.add(configuration(), dataclasses.replace(DIGITS, name=name))

    @pytest.mark.parametrize("input_type", [InputType.INTS, InputType.BYTES, InputType.STRINGS])
    def test_refuses_nan_for_what_has_none(self, input_type: InputType) -> None:
        with pytest.raises(InvalidInput, match=f"There is no NaN among {input_type}"):
            applications.add(configuration(), dataclasses.replace(DIGITS, input_type=input_type, missing="nan"))

    @pytest.mark.parametrize("word", ["", "null", "NaN"])
    def test_refuses_a_way_with_what_is_missing_that_there_is_not(self, word: str) -> None:
        with pytest.raises(InvalidInput, match="must be one of 'error', 'nan'"):
            applications.add(configuration(), dataclasses.replace(DIGITS, missing=word))

    @pytest.mark.parametrize(
        ("input_type", "schema", "says"),
        [
            (InputType.STRINGS, InputSchema((1,)), "Strings have no schema"),
            (InputType.BYTES, InputSchema((2, 2)), "The schema of bytes is a shape with their number"),
            (InputType.BYTES, InputSchema(minimum=0.0), "The schema of bytes is a shape with their number"),
            (InputType.BYTES, InputSchema(names=("a",)), "The schema of bytes is a shape with their number"),
        ],
    )
    def test_refuses_a_schema_that_is_not_for_the_type(
        self, input_type: InputType, schema: InputSchema, says: str
    ) -> None:
        with pytest.raises(InvalidInput, match=says):
            applications.add(configuration(), dataclasses.replace(DIGITS, input_type=input_type, schema=schema))

    @pytest.mark.parametrize(
        ("input_type", "schema"),
        [
            (InputType.BYTES, InputSchema((2,))),
            (InputType.INTS, InputSchema((2, 2), minimum=0.0)),
            (InputType.FLOATS, InputSchema(names=("a",), ranges=(Range("a", None, 1.0),))),
        ],
    )
    def test_takes_a_schema_that_is(self, input_type: InputType, schema: InputSchema) -> None:
        application = dataclasses.replace(DIGITS, input_type=input_type, schema=schema)
        known = configuration()
        assert after(known, applications.add(known, application)).applications["digits"].schema == schema

    @pytest.mark.parametrize("slo", [0, -1])
    def test_refuses_an_objective_that_is_not_positive(self, slo: int) -> None:
        with pytest.raises(InvalidInput) as error:
            applications.add(configuration(), dataclasses.replace(DIGITS, latency_slo_micros=slo))
        assert message(error) == f"The latency objective must be positive, but it is {slo} microseconds"

    @pytest.mark.parametrize("priority", ["", "highest", "HIGH", "1"])
    def test_refuses_an_unknown_priority(self, priority: str) -> None:
        with pytest.raises(InvalidInput) as error:
            applications.add(configuration(), dataclasses.replace(DIGITS, priority=priority))
        assert message(error) == f"Invalid priority '{priority}'. It must be one of 'high', 'normal', 'low'"

    @pytest.mark.parametrize("priority", ["high", "normal", "low"])
    def test_takes_a_known_priority(self, priority: str) -> None:
        assert applications.add(configuration(), dataclasses.replace(DIGITS, priority=priority))

    @pytest.mark.parametrize("share", [0.0, 0.0009, -1.0, 1001.0, math.inf, math.nan])
    def test_refuses_a_share_out_of_range(self, share: float) -> None:
        with pytest.raises(InvalidInput) as error:
            applications.add(configuration(), dataclasses.replace(DIGITS, share=share))
        assert message(error) == f"The share must be between 0.001 and 1000, but it is {share}"

    @pytest.mark.parametrize("share", [0.001, 1, 1000])
    def test_takes_any_other_share(self, share: float) -> None:
        assert applications.add(configuration(), dataclasses.replace(DIGITS, share=share))

    def test_refuses_a_negative_time_to_live_in_the_cache(self) -> None:
        with pytest.raises(InvalidInput) as error:
            applications.add(configuration(), dataclasses.replace(DIGITS, cache_ttl_micros=-1))
        assert message(error) == "The time to live in the cache must not be negative, but it is -1 microseconds"

    def test_refuses_an_option_of_selection_that_is_not_valid(self) -> None:
        with pytest.raises(InvalidInput, match="Invalid selection policy 'best'"):
            applications.add(configuration(), dataclasses.replace(DIGITS, selection_policy="best"))

    def test_takes_any_text_as_default_output(self) -> None:
        application = dataclasses.replace(DIGITS, default_output="")
        assert applications.add(configuration(), application)


class TestDelete:
    def test_removes_the_application_with_its_links(self) -> None:
        known = configuration(*with_forest(LINKED))
        known = after(known, applications.delete(known, "digits"))
        assert known.applications == {}
        known = after(known, applications.add(known, DIGITS))
        assert applications.linked_models(known, "digits") == ()

    def test_refuses_an_unknown_application(self) -> None:
        with pytest.raises(NotFound) as error:
            applications.delete(configuration(), "digits")
        assert message(error) == "Application 'digits' does not exist"


class TestLink:
    def test_links_the_model_and_keeps_the_rest_of_the_application(self) -> None:
        known = configuration(*with_forest(dataclasses.replace(DIGITS, registration=3)))
        linked = after(known, applications.link(known, "digits", ["forest"]))
        assert linked.applications["digits"] == dataclasses.replace(LINKED, registration=3)

    def test_looks_for_the_application_first(self) -> None:
        with pytest.raises(NotFound) as error:
            applications.link(configuration(), "digits", [])
        assert message(error) == "No app with name 'digits' exists."

    def test_refuses_an_unknown_model_before_it_counts_the_models(self) -> None:
        with pytest.raises(NotFound) as error:
            applications.link(configuration(*with_forest()), "digits", ["forest", "oak"])
        assert message(error) == "No model with name 'oak' exists."

    def test_refuses_a_model_of_another_input_type_before_it_counts_the_models(self) -> None:
        known = configuration(*with_forest(), FOREST_OF_TEXTS, CurrentVersion("forest", "2"))
        with pytest.raises(Conflict) as error:
            applications.link(known, "digits", ["forest", "forest"])
        assert message(error) == (
            "Model with name 'forest' has incompatible input_type 'strings'. "
            "Requested app to link to has input_type 'doubles'."
        )

    def test_judges_a_model_by_its_current_version(self) -> None:
        known = configuration(*with_forest(), FOREST_OF_TEXTS)
        assert applications.link(known, "digits", ["forest"])

    def test_judges_a_model_without_current_version_by_all_its_versions(self) -> None:
        assert applications.link(configuration(DIGITS, FOREST_OF_TEXTS, FOREST), "digits", ["forest"])
        with pytest.raises(Conflict):
            applications.link(configuration(DIGITS, FOREST_OF_TEXTS), "digits", ["forest"])

    @pytest.mark.parametrize(
        ("schema", "names"),
        [
            (InputSchema(names=("age", "income")), ("age", "income")),
            (InputSchema(names=("age", "income")), ()),
            (InputSchema((2,)), ("age", "income")),
            (None, ("age", "income")),
        ],
    )
    def test_takes_a_model_with_the_same_names_and_where_one_has_none(
        self, schema: InputSchema | None, names: tuple[str, ...]
    ) -> None:
        named = dataclasses.replace(FOREST, input_names=names)
        known = configuration(dataclasses.replace(DIGITS, schema=schema), named, CurrentVersion("forest", "1"))
        assert applications.link(known, "digits", ["forest"])

    @pytest.mark.parametrize("names", [("income", "age"), ("age",), ("age", "Income")])
    def test_refuses_a_model_with_other_names_or_in_another_order(self, names: tuple[str, ...]) -> None:
        people = dataclasses.replace(DIGITS, schema=InputSchema(names=("age", "income")))
        named = dataclasses.replace(FOREST, input_names=names)
        with pytest.raises(Conflict) as error:
            applications.link(configuration(people, named, CurrentVersion("forest", "1")), "digits", ["forest"])
        assert message(error) == (
            f"Model with name 'forest' has incompatible input_names ({', '.join(names)}). The schema of the requested "
            "app to link to has the names (age, income): they must be the same, in the same order."
        )

    def test_refuses_no_model(self) -> None:
        with pytest.raises(InvalidInput) as error:
            applications.link(configuration(DIGITS), "digits", [])
        assert (
            message(error) == "Please provide the name of the model that you want to link to the application 'digits'"
        )

    def test_refuses_two_models(self) -> None:
        with pytest.raises(InvalidInput) as error:
            applications.link(configuration(DIGITS, FOREST, SVM), "digits", ["forest", "svm"])
        assert message(error) == (
            "Applications must be linked with at most one model. Attempted to add links to 2 models."
        )

    def test_refuses_a_link_that_exists(self) -> None:
        with pytest.raises(AlreadyExists) as error:
            applications.link(configuration(*with_forest(LINKED)), "digits", ["forest"])
        assert message(error) == "The model with name 'forest' is already linked to 'digits'"

    def test_refuses_a_second_model(self) -> None:
        with pytest.raises(Conflict) as error:
            applications.link(configuration(*with_forest(LINKED), SVM), "digits", ["svm"])
        assert message(error) == "A model with name forest is already linked to 'digits'."


class TestLinkOfSeveralModels:
    def test_links_all_of_them_by_name_and_keeps_the_rest_of_the_application(self) -> None:
        known = configuration(dataclasses.replace(CLEVER, registration=3), FOREST, SVM)
        linked = after(known, applications.link(known, "clever", ["svm", "forest"]))
        assert linked.applications["clever"] == dataclasses.replace(
            CLEVER, registration=3, linked_models=("forest", "svm")
        )

    def test_adds_to_those_that_are_linked(self) -> None:
        known = configuration(dataclasses.replace(CLEVER, linked_models=("svm",)), FOREST, SVM)
        linked = after(known, applications.link(known, "clever", ["forest"]))
        assert applications.linked_models(linked, "clever") == ("forest", "svm")

    @pytest.mark.parametrize("policy", [policy for policy in BUILT_IN if policy != "single"])
    def test_is_possible_with_every_policy_but_single(self, policy: str) -> None:
        application = dataclasses.replace(CLEVER, selection_policy=policy)
        assert applications.link(configuration(application, FOREST, SVM), "clever", ["forest", "svm"])

    def test_refuses_no_model(self) -> None:
        with pytest.raises(InvalidInput, match="Please provide the name of the model"):
            applications.link(configuration(CLEVER), "clever", [])

    def test_refuses_a_model_that_is_named_twice(self) -> None:
        with pytest.raises(InvalidInput) as error:
            applications.link(configuration(CLEVER, FOREST), "clever", ["forest", "forest"])
        assert message(error) == "A model is named twice: forest, forest"

    def test_refuses_a_link_that_exists_and_then_makes_none(self) -> None:
        known = configuration(dataclasses.replace(CLEVER, linked_models=("forest",)), FOREST, SVM)
        with pytest.raises(AlreadyExists) as error:
            applications.link(known, "clever", ["svm", "forest"])
        assert message(error) == "The model with name 'forest' is already linked to 'clever'"

    def test_refuses_a_model_of_another_input_type_among_others(self) -> None:
        with pytest.raises(Conflict, match="Model with name 'forest' has incompatible input_type 'strings'"):
            applications.link(configuration(CLEVER, SVM, FOREST_OF_TEXTS), "clever", ["svm", "forest"])

    def test_refuses_a_65th_model(self) -> None:
        names = tuple(f"m{number}" for number in range(65))
        models = [dataclasses.replace(FOREST, model_name=name) for name in names]
        known = configuration(dataclasses.replace(CLEVER, linked_models=names[:63]), *models)
        assert applications.link(known, "clever", names[63:64])
        with pytest.raises(Conflict) as error:
            applications.link(known, "clever", names[63:])
        assert message(error) == (
            "Applications must be linked with at most 64 models. 'clever' has 63. Attempted to add links to 2 models."
        )


class TestUnlink:
    def test_removes_one_of_several_links(self) -> None:
        known = configuration(dataclasses.replace(CLEVER, linked_models=("forest", "oak", "svm")))
        left = after(known, applications.unlink(known, "clever", ["oak"]))
        assert applications.linked_models(left, "clever") == ("forest", "svm")

    def test_removes_the_link(self) -> None:
        known = configuration(*with_forest(LINKED))
        assert after(known, applications.unlink(known, "digits", ["forest"])).applications == {"digits": DIGITS}

    def test_refuses_an_unknown_application(self) -> None:
        with pytest.raises(NotFound) as error:
            applications.unlink(configuration(), "digits", ["forest"])
        assert message(error) == "No app with name digits exists."

    def test_refuses_a_link_that_does_not_exist_and_then_removes_none(self) -> None:
        with pytest.raises(NotFound) as error:
            applications.unlink(configuration(*with_forest(LINKED)), "digits", ["forest", "oak"])
        assert message(error) == "Cannot remove nonexistent link between app digits and model oak"

    def test_of_no_model_changes_nothing(self) -> None:
        assert applications.unlink(configuration(*with_forest(LINKED)), "digits", []) == []


class TestFind:
    def test_is_the_application_of_that_name(self) -> None:
        assert applications.find(configuration(DIGITS, CLEVER), "clever") == CLEVER

    def test_refuses_an_unknown_application(self) -> None:
        with pytest.raises(NotFound) as error:
            applications.find(configuration(DIGITS), "clever")
        assert message(error) == "No application with name 'clever' exists."


class TestLinkedModels:
    def test_are_those_of_the_application(self) -> None:
        assert applications.linked_models(configuration(*with_forest(LINKED)), "digits") == ("forest",)

    def test_refuses_an_unknown_application(self) -> None:
        with pytest.raises(NotFound) as error:
            applications.linked_models(configuration(), "digits")
        assert message(error) == "No application with name 'digits' exists."
