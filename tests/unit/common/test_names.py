"""Names and the words of the contract."""

import pytest

from services.common.errors import InvalidInput
from services.common.names import InputType, check_label, check_name, check_policy_path, parse_input_type


@pytest.mark.parametrize(
    ("aliases", "input_type"),
    [
        ("bytes byte b", InputType.BYTES),
        ("integers ints integer int i", InputType.INTS),
        ("floats float f", InputType.FLOATS),
        ("doubles double d", InputType.DOUBLES),
        ("strings string str strs s", InputType.STRINGS),
    ],
)
def test_an_input_type_has_aliases_in_any_case(aliases: str, input_type: InputType) -> None:
    for alias in aliases.split():
        assert parse_input_type(alias) is input_type
        assert parse_input_type(alias.upper()) is input_type


@pytest.mark.parametrize("text", ["", " doubles", "number", "doubless", "d o"])
def test_any_other_input_type_is_refused_with_the_known_ones(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_input_type(text)
    for name in (f"'{text}'", "'bytes'", "'integers'", "'floats'", "'doubles'", "'strings'"):
        assert name in str(refused.value)


@pytest.mark.parametrize("name", ["a", "7", "Digits-2.1_b", "a" * 255, "x--y"])
def test_a_name_of_letters_digits_and_inner_marks_is_returned(name: str) -> None:
    assert check_name("model name", name) == name


@pytest.mark.parametrize(
    "name", ["", "-a", "a-", ".", "a.", "_a", "a b", "a/b", "a:b", "a,b", "a\n", "é", "a%2f", "٣", "a" * 256]
)
def test_any_other_name_is_refused_and_named_with_its_kind(name: str) -> None:
    with pytest.raises(InvalidInput, match="Invalid model version supplied: '"):
        check_name("model version", name)


def test_a_refused_name_is_not_repeated_at_any_length() -> None:
    with pytest.raises(InvalidInput) as refused:
        check_name("application name", "a" * 1_000_000)
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize("label", ["", "DEFAULT", "any text / really"])
def test_a_label_is_free_text(label: str) -> None:
    assert check_label(label) == label


@pytest.mark.parametrize("label", ["a,b", "a:b", ","])
def test_a_label_with_a_separator_is_refused(label: str) -> None:
    with pytest.raises(InvalidInput, match="Contains one of: ',', ':'"):
        check_label(label)


@pytest.mark.parametrize(
    ("path", "prefixes"),
    [
        ("mine:Own", ["mine"]),
        ("mine.policies:Own", ["mine"]),
        ("mine.policies.new:Own", ["others", "mine.policies"]),
    ],
)
def test_a_policy_may_be_named_by_its_path_under_a_prefix(path: str, prefixes: list[str]) -> None:
    check_policy_path(path, prefixes)


@pytest.mark.parametrize(
    ("path", "prefixes"),
    [
        ("mine:Own", []),
        ("mine2:Own", ["mine"]),
        ("mine2.policies:Own", ["mine"]),
        ("mine:Own", ["mine.policies"]),
        ("mine.policies2:Own", ["mine.policies"]),
        ("unittest.__main__:Foo", ["mine"]),
        ("mine", ["mine"]),
        ("mine.policies", ["mine"]),
        ("mine..policies:Own", ["mine"]),
        ("mine.policies:Own.inner", ["mine"]),
        (":Own", ["mine"]),
    ],
)
def test_no_other_path_may_name_a_policy_and_it_is_said_what_to_set(path: str, prefixes: list[str]) -> None:
    with pytest.raises(InvalidInput, match=r"is not allowed\. .* CLIPPER_POLICY_PREFIXES, .*'clipper.selection_"):
        check_policy_path(path, prefixes)
