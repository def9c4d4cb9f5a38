"""Sections: what they say, and where they are written."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.rig.errors import BenchmarkError
from bench.rig.report import Check, Finding, Section

_OBJECTIVE_S = 0.02


@dataclass(frozen=True, slots=True)
class _Found(Finding):
    rate: float

    @property
    def twice(self) -> float:
        return 2 * self.rate

    def checks(self) -> list[Check]:
        return [Check("the rate", self.rate, least=100.0), Check("twice the rate", self.twice, most=1_000.0)]


def test_a_template_names_figures_properties_and_constants_of_the_module(tmp_path: Path) -> None:
    text = str(_section(tmp_path, rate=250.0))
    assert text.startswith("250/s, twice 500, within 20 ms\n")
    assert text.endswith("*here and now.*\n")


def test_every_bound_is_told_beside_the_figure_and_the_missed_ones_are_marked(tmp_path: Path) -> None:
    section = _section(tmp_path, rate=50.0)
    assert "| the rate | 50 | at least 100 | missed |\n| twice the rate | 100 | at most 1000 |  |" in str(section)
    assert [str(check) for check in section.missed] == ["the rate: 50, at least 100"]


def test_only_what_is_between_the_marks_is_replaced_however_often(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    before, after = "# By hand\n\n<!-- python -m bench a.study -->\n", "<!-- end -->\n\n## By hand\n<!-- end -->\n"
    page.write_text(f"{before}what was there{after}")
    section = _section(tmp_path, rate=250.0)
    section.write_into(page)
    section.write_into(page)
    assert page.read_text() == f"{before}{section}{after}"


@pytest.mark.parametrize(
    "text", ["", "<!-- python -m bench another -->\n<!-- end -->", "<!-- python -m bench a.study -->\n"]
)
def test_a_page_without_a_place_for_the_section_stays_and_the_error_names_the_mark(tmp_path: Path, text: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(BenchmarkError, match=r"page\.md has no lines '<!-- python -m bench a\.study -->'"):
        _section(tmp_path, rate=250.0).write_into(page)
    assert page.read_text() == text


def test_figures_are_kept_raw(tmp_path: Path) -> None:
    assert json.loads(_section(tmp_path, rate=250.0).as_json()) == {"circumstances": "here and now", "rate": 250.0}


def _section(directory: Path, rate: float) -> Section:
    template = directory / "study.md"
    template.write_text("{rate:.0f}/s, twice {twice:g}, within {objective_s:ms} ms\n")
    return Section("a.study", template, _Found(rate), "here and now")
