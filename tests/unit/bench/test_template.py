"""Templates: names, formats, and what is repeated."""

import pytest

from bench.rig.template import fill


def test_figures_are_named_with_pythons_formats_and_with_ours() -> None:
    filled = fill("{share:.1%} of {count:,} in {slow_s:ms} ms or {slower_s:ms} ms, {speed:rate}/s", _NAMES)
    assert filled == "25.0% of 1,200 in 12.3 ms or 1,500 ms, 98,765/s"


def test_a_line_is_repeated_for_each_row_and_a_mapping_has_keys_and_values() -> None:
    template = "| name |\n{*row: rows} | {row[0]} × {count} | {row[1]:.1f} |\nafter"
    assert fill(template, _NAMES) == "| name |\n| a × 1200 | 1.0 |\n| b × 1200 | 2.5 |\nafter"


def test_lines_between_marks_are_repeated_with_what_is_repeated_in_them() -> None:
    template = "{*part: parts}\n## {part[0]}\n{*row: part[1]} - {row}\n{/part}\nend"
    assert fill(template, _NAMES) == "## first\n- 1\n- 2\n## second\n- 3\nend"


def test_a_line_for_no_rows_is_left_out() -> None:
    assert fill("a\n{*row: none} {row}\nb", _NAMES) == "a\nb"


@pytest.mark.parametrize("template", ["{nothing}", "{*row: nothing} {row}", "{count.nothing}", "{none[0]}"])
def test_what_there_is_not_is_an_error(template: str) -> None:
    with pytest.raises((KeyError, AttributeError, IndexError)):
        fill(template, _NAMES)


_NAMES: dict[str, object] = {
    "share": 0.25,
    "count": 1200,
    "slow_s": 0.01234,
    "slower_s": 1.5,
    "speed": 98_765.4,
    "rows": {"a": 1.0, "b": 2.5},
    "parts": [("first", [1, 2]), ("second", [3])],
    "none": [],
}
