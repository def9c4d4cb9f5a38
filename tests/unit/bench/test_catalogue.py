"""All studies: their names, templates and pages."""

import re
import sys
from pathlib import Path
from typing import get_type_hints

import pytest

from bench.studies.catalogue import NAMES, STUDIES, Study, comparison, named

_STUDIES = [*STUDIES, comparison(Path("a"), Path("b"))]
_NAMED = re.compile(r"\{(?!\*|/)(\w+)")
_REPEATED = re.compile(r"\{\*(\w+): (\w+)")


def test_names_tell_studies_apart_and_a_group_names_its_own() -> None:
    assert len({study.name for study in STUDIES}) == len(STUDIES)
    assert [study.name for study in named(["slo.tenants", "floors"])] == [
        "floors.rates",
        "floors.memory",
        "slo.tenants",
    ]
    assert named(NAMES) == list(STUDIES)


@pytest.mark.parametrize("study", _STUDIES, ids=lambda study: study.name)
def test_a_template_names_nothing_but_what_its_study_finds(study: Study) -> None:
    measure = getattr(study.measure, "func", study.measure)
    finding = get_type_hints(measure)["return"]
    constants = vars(sys.modules[finding.__module__])
    text = study.template.read_text()
    repeated = _REPEATED.findall(text)
    known = {name for name, _ in repeated}
    for name in {*_NAMED.findall(text), *(source for _, source in repeated)} - known:
        assert hasattr(finding, name) or f"_{name.upper()}" in constants, name


@pytest.mark.parametrize("study", [study for study in STUDIES if study.page], ids=lambda study: study.name)
def test_a_page_has_one_place_for_each_of_its_sections(study: Study) -> None:
    assert study.page is not None
    text = study.page.read_text()
    assert text.count(f"<!-- python -m bench {study.name} -->\n") == 1
    assert text.count("<!-- python -m bench ") - 1 <= text.count("<!-- end -->")
