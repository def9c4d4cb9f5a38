"""What an application may ask of the selection layer."""

import dataclasses
import math
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from services.common.errors import InvalidInput
from services.common.names import InputType
from services.common.policies import BUILT_IN
from services.common.records import Application
from services.management import selection

CLEVER = Application("clever", InputType.DOUBLES, "-1.0", 100_000, selection_policy="exp3")


def refused(**changed: object) -> str:
    """Why an application with these options is refused."""
    with pytest.raises(InvalidInput) as error:
        selection.check(dataclasses.replace(CLEVER, **changed))  # type: ignore[arg-type]
    return str(error.value)


def accepted(**changed: object) -> None:
    selection.check(dataclasses.replace(CLEVER, **changed))  # type: ignore[arg-type]


class TestPolicy:
    @pytest.mark.parametrize("policy", BUILT_IN)
    def test_that_is_built_in_is_taken(self, policy: str) -> None:
        accepted(selection_policy=policy)

    @pytest.mark.parametrize("policy", ["policies:Mine", "my.own.policies:_Mine2"])
    def test_may_be_a_class_by_its_path_under_a_prefix_that_is_allowed(self, policy: str) -> None:
        application = dataclasses.replace(CLEVER, selection_policy=policy, policy_parameters=(("anything", -1.0),))
        selection.check(application, ["policies", "my.own"])
        for prefixes in ([], ["mine", "policies2", "my.own.policies.more"]):
            with pytest.raises(InvalidInput, match=f"'{policy}' is not allowed.* CLIPPER_POLICY_PREFIXES"):
                selection.check(application, prefixes)

    @pytest.mark.parametrize(
        "policy",
        ["", "best", "EXP3", "exp3 ", "a:b:c", ":Mine", "mine:", "a..b:C", "a.b:C.d", "a-b:C", "1a:B"],
    )
    def test_of_any_other_name_is_refused_with_the_known_ones(self, policy: str) -> None:
        assert refused(selection_policy=policy) == (
            f"Invalid selection policy '{policy}'. It must be one of 'single', 'static', 'epsilon_greedy', 'ucb1', "
            "'thompson', 'discounted_thompson', 'exp3', 'exp4', 'majority', 'average', 'linucb', the name of an "
            "installed entry point of the group 'clipper.selection_policies', or a class as 'package.module:Class'"
        )

    def test_may_be_an_installed_entry_point(self, monkeypatch: pytest.MonkeyPatch) -> None:
        installed = EntryPoints([EntryPoint("mine", "my.policies:Mine", "clipper.selection_policies")])
        monkeypatch.setattr("importlib.metadata.entry_points", lambda **wanted: installed.select(**wanted))
        accepted(selection_policy="mine")
        assert refused(selection_policy="yours").startswith("Invalid selection policy 'yours'")


class TestInputs:
    @pytest.mark.parametrize("input_type", [each for each in InputType if each is not InputType.STRINGS])
    def test_that_are_numbers_can_be_looked_at(self, input_type: InputType) -> None:
        accepted(selection_policy="linucb", input_type=input_type)

    def test_that_are_texts_cannot(self) -> None:
        assert refused(selection_policy="linucb", input_type=InputType.STRINGS) == (
            "The selection policy 'linucb' looks at inputs as numbers, but the application takes 'strings'"
        )
        accepted(selection_policy="exp3", input_type=InputType.STRINGS)


class TestParameters:
    def test_in_their_range_are_taken(self) -> None:
        accepted(selection_policy="epsilon_greedy", policy_parameters=(("epsilon", 1.0),))

    def test_out_of_their_range_are_refused(self) -> None:
        assert refused(selection_policy="epsilon_greedy", policy_parameters=(("epsilon", 1.5),)) == (
            "Invalid value 1.5 of the parameter 'epsilon'. It must be from 0 to 1"
        )

    def test_that_the_policy_does_not_have_are_refused(self) -> None:
        assert refused(selection_policy="epsilon_greedy", policy_parameters=(("eta", 0.5),)) == (
            "Unknown parameter 'eta' of the selection policy. It takes: 'epsilon'"
        )
        assert refused(selection_policy="single", policy_parameters=(("eta", 0.5),)) == (
            "Unknown parameter 'eta' of the selection policy. It takes: none"
        )

    @pytest.mark.parametrize("policy", ["exp3", "static", "my.policies:Mine"])
    @pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
    def test_that_are_no_finite_numbers_are_refused(self, policy: str, value: float) -> None:
        assert refused(selection_policy=policy, policy_parameters=(("eta", value),)) == (
            f"The parameter 'eta' of a selection policy must be a finite number, but it is {value}"
        )


class TestThreshold:
    @pytest.mark.parametrize("threshold", [0.0, 0.6, 1.0])
    def test_is_a_share(self, threshold: float) -> None:
        accepted(confidence_threshold=threshold)

    @pytest.mark.parametrize("threshold", [-0.1, 1.1, math.nan])
    def test_that_is_none_is_refused(self, threshold: float) -> None:
        complaint = f"The confidence threshold must be between 0 and 1, but it is {threshold}"
        assert refused(confidence_threshold=threshold) == complaint


class TestLoss:
    @pytest.mark.parametrize("loss", ["zero_one", "squared", "absolute"])
    def test_that_is_known_is_taken(self, loss: str) -> None:
        accepted(loss=loss, loss_scale=2.5)

    def test_that_is_not_known_is_refused(self) -> None:
        assert refused(loss="hinge") == "Invalid loss 'hinge'. It must be one of 'zero_one', 'squared', 'absolute'"

    @pytest.mark.parametrize("scale", [0.0, -1.0, math.inf, math.nan])
    def test_has_a_positive_scale(self, scale: float) -> None:
        assert refused(loss_scale=scale) == f"The loss scale must be positive and finite, but it is {scale}"


class TestDurations:
    @pytest.mark.parametrize("seconds", [1, 315_360_000])
    def test_of_up_to_ten_years_are_taken(self, seconds: int) -> None:
        accepted(feedback_window_s=seconds, context_ttl_s=seconds)

    @pytest.mark.parametrize("seconds", [0, -1, 315_360_001])
    def test_of_any_other_length_are_refused(self, seconds: int) -> None:
        rest = f"must be between 1 and 315360000 seconds, but it is {seconds}"
        assert refused(feedback_window_s=seconds) == f"The feedback window {rest}"
        assert refused(context_ttl_s=seconds) == f"The time to live of a context {rest}"


class TestCombination:
    @pytest.mark.parametrize("combine", ["vote", "average"])
    def test_that_is_known_is_taken(self, combine: str) -> None:
        accepted(combine=combine)

    def test_that_is_not_known_is_refused(self) -> None:
        assert refused(combine="median") == "Invalid combination 'median'. It must be one of 'vote', 'average'"
