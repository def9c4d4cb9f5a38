"""Votes and averages."""

import pytest

from services.query.engine.policies.voting import agree, average, number_of, vote

_EQUAL = {"a": 0.25, "b": 0.25, "c": 0.25, "d": 0.25}


def test_the_output_with_the_most_weight_wins() -> None:
    weights = {"a": 0.4, "b": 0.3, "c": 0.3}
    assert vote(weights, {"a": "cat", "b": "dog", "c": "dog"}) == ("dog", 2 / 3)


def test_arms_that_did_not_answer_do_not_vote_and_lower_the_confidence() -> None:
    assert vote(_EQUAL, {"b": "dog", "d": "dog"}) == ("dog", 0.5)
    assert vote({"a": 0.9, "b": 0.1}, {"b": "dog"}) == ("dog", 0.5)


def test_outputs_that_are_the_same_number_agree_and_the_heaviest_arms_text_is_answered() -> None:
    assert vote({"a": 0.25, "b": 0.35, "c": 0.4}, {"a": "1", "b": "1.0", "c": "2"}) == ("1.0", 2 / 3)


def test_among_equals_the_heaviest_arm_decides_then_the_first() -> None:
    assert vote({"a": 0.25, "b": 0.25, "c": 0.5}, {"a": "cat", "b": "cat", "c": "dog"}).output == "dog"
    assert vote(_EQUAL, {"d": "dog", "c": "dog", "b": "cat", "a": "cat"}).output == "cat"


def test_votes_of_no_weight_are_better_than_none() -> None:
    assert vote({"a": 1.0, "b": 0.0, "c": 0.0}, {"b": "dog", "c": "dog"}) == ("dog", 2 / 3)


def test_the_mean_is_weighted_and_those_missing_are_taken_to_have_said_the_mean_of_the_others() -> None:
    weights = {"a": 0.2, "b": 0.6, "c": 0.2}
    assert average(weights, {"a": "1", "b": "3", "c": "5"}, 0.5) == ("3.0", 1 / 3)
    assert average(weights, {"a": "1", "c": "5"}, 2.0) == ("3.0", 2 / 3)


def test_only_arms_that_answered_within_the_tolerance_agree_with_the_mean() -> None:
    assert average(_EQUAL, {"a": "2.0", "b": "2.2", "c": "5.0"}, 0.9) == (repr(9.2 / 3), 0.25)


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999", "cat", ""])
def test_what_is_no_finite_number_is_left_out_of_the_mean(text: str) -> None:
    assert average(_EQUAL, {"a": text, "b": "2", "c": "4"}, 1.0) == ("3.0", 0.5)


def test_without_any_number_there_is_a_vote() -> None:
    assert average(_EQUAL, {"a": "cat", "b": "cat", "c": "dog"}, 1.0) == ("cat", 0.5)


def test_where_those_that_answered_weigh_nothing_all_weigh_the_same() -> None:
    assert average({"a": 1.0, "b": 0.0, "c": 0.0}, {"b": "2", "c": "4"}, 1.0) == ("3.0", 2 / 3)


def test_large_integers_are_told_apart() -> None:
    assert not agree("9007199254740993", "9007199254740992")
    assert number_of("9" * 400) is None


def test_texts_and_numbers_agree_with_their_own_kind() -> None:
    assert agree("1", "1.0")
    assert agree("cat", "cat")
    assert not agree("cat", "dog")
    assert not agree("1", "cat")
