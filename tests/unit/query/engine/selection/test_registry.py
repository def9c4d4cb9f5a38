"""Policies by name."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.common.errors import InvalidInput
from services.common.names import SELECTION_POLICIES, InputType
from services.common.records import Application
from services.query.engine.selection.exp3 import Exp3
from services.query.engine.selection.registry import load, make


def _application(policy: str, combine: str = "vote", **parameters: float) -> Application:
    return Application(
        "app",
        InputType.DOUBLES,
        "",
        1,
        selection_policy=policy,
        policy_parameters=tuple(sorted(parameters.items())),
        combine=combine,
    )


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A distribution that offers policies, somewhat carelessly."""
    (tmp_path / "offered.py").write_text(
        "from services.query.engine.selection.exp3 import Exp3\n"
        "from services.query.engine.selection.policy import SelectionPolicy\n"
        "class Own(Exp3): pass\n"
        "class Incomplete(SelectionPolicy): pass\n"
        "NOTHING = 1\n"
    )
    (tmp_path / "broken.py").write_text("raise RuntimeError('out of order')\n")
    information = tmp_path / "offered-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: offered\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(
        "[clipper.selection_policies]\nown = offered:Own\nnothing = offered:NOTHING\nbroken = broken:Own\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for module in ("offered", "broken"):
        sys.modules.pop(module, None)


@pytest.mark.parametrize("name", SELECTION_POLICIES)
def test_every_policy_that_can_be_registered_is_there(name: str) -> None:
    make(_application(name))


def test_a_policy_gets_its_parameters_and_how_to_combine() -> None:
    policy = make(_application("exp4", "average", eta=0.5))
    assert policy.parameters["eta"] == 0.5
    assert policy.combination == "average"


def test_equal_wishes_are_granted_with_the_same_object() -> None:
    assert make(_application("exp3", eta=0.5)) is make(_application("exp3", eta=0.5))
    assert make(_application("exp3", eta=0.5)) is not make(_application("exp3", eta=0.25))


def test_bad_parameters_are_refused() -> None:
    with pytest.raises(InvalidInput, match="Unknown parameter 'etta'"):
        make(_application("exp3", etta=0.5))


@pytest.mark.usefixtures("installed")
def test_a_class_that_cannot_be_made_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"'offered:Incomplete' cannot be made: .* abstract"):
        make(_application("offered:Incomplete"))


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("name", ["own", "offered:Own"])
def test_a_class_is_found_by_its_entry_point_or_its_path(name: str) -> None:
    assert load(name).__name__ == "Own"
    assert issubclass(load(name), Exp3)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("exp5", "Unknown selection policy 'exp5'. It must be one of 'single', 'static', .*'package.module:Class'"),
        ("", "Unknown selection policy ''"),
        ("nowhere:Own", "'nowhere:Own' cannot be imported: No module named 'nowhere'"),
        ("offered:Missing", "'offered:Missing' cannot be imported: .* has no attribute 'Missing'"),
        (":", "':' cannot be imported: Empty module name"),
        ("broken:Own", "'broken:Own' cannot be imported: out of order"),
        ("broken", "'broken' cannot be imported: out of order"),
        ("nothing", "'nothing' is no subclass of SelectionPolicy"),
        ("offered:NOTHING", "'offered:NOTHING' is no subclass of SelectionPolicy"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_reason(name: str, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        load(name)
