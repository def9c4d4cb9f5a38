"""`python -m bench`, as a shell sees it."""

import subprocess
import sys

import pytest

from bench.__main__ import main
from bench.rig.processes import REPOSITORY


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["floor"], "there is no floor; names: floors, floors.rates"),
        (["compare", "."], "compare takes two directories, each with a tree of this repository"),
        (["compare", ".", "docs"], "compare takes two directories, each with a tree of this repository"),
        (["slo", "--quick", "--write"], "a quick look is not for the pages"),
        ([], "the following arguments are required: NAME"),
    ],
    ids=["unknown", "one tree", "no tree", "quick page", "nothing"],
)
def test_what_cannot_be_measured_is_refused_with_what_can(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        main(arguments)
    assert refused.value.code == 2
    assert told in capsys.readouterr().err


def test_a_study_prints_its_section_and_keeps_its_figures() -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "bench", "slo.engine", "--quick"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert "## The engine" in finished.stdout
    assert "| adaptive | " in finished.stdout
    assert '"micros"' in (REPOSITORY / "build" / "bench" / "slo.engine.json").read_text()
