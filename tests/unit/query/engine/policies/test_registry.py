"""Policies by name."""

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.common.errors import InvalidInput
from services.common.names import SELECTION_POLICIES, InputType
from services.common.records import Application
from services.query.engine.policies.exp3 import Exp3
from services.query.engine.policies.registry import MissingPolicy, Policies, load, make

PREFIXES = ("offered", "nowhere")

_OFFERED = """
from services.query.engine.policies.exp3 import Exp3
from services.query.engine.policies.policy import SelectionPolicy
class Own(Exp3): pass
class Incomplete(SelectionPolicy): pass
class Quitter(Exp3):
    def __init__(self, *_): raise SystemExit
class Other: pass
class Changeling(Exp3):
    def __new__(cls, *_): return Other()
class Undecided(Exp3):
    asks_all = property(lambda self: exit())
class Liar:
    __class__ = property(lambda self: exit())
LIE = Liar()
NOTHING = 1
"""
# What importing somebody's module may come to.
ENDS = (
    "sys.exit(3)",
    "raise KeyboardInterrupt",
    "raise GeneratorExit",
    "raise asyncio.CancelledError",
    "raise MemoryError",
    "raise Mute",
    "recurse()",
)
_ENDING = """
import asyncio, pathlib, sys
with pathlib.Path(__file__).with_suffix(".runs").open("a") as runs: runs.write(".")
class Mute(BaseException):
    def __str__(self): sys.exit()
    __repr__ = __str__
def recurse(): recurse()
"""


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
    """A distribution that offers policies, somewhat carelessly, and modules that end in different ways."""
    (tmp_path / "offered.py").write_text(_OFFERED)
    (tmp_path / "broken.py").write_text("raise RuntimeError('out of order')\n")
    for number, end in enumerate(ENDS):
        (tmp_path / f"ends{number}.py").write_text(_ENDING + end)
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
    policies = Policies()
    exp3 = policies.policy_of(_application("exp3", eta=0.5))
    assert policies.policy_of(dataclasses.replace(_application("exp3", eta=0.5), name="other")) is exp3
    assert policies.policy_of(_application("exp3", eta=0.25)) is not exp3


def test_bad_parameters_are_refused() -> None:
    with pytest.raises(InvalidInput, match="Unknown parameter 'etta'"):
        make(_application("exp3", etta=0.5))


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Incomplete", "TypeError: .* abstract"),
        ("Quitter", "SystemExit"),
        ("Changeling", "TypeError: it makes an object of type Other"),
    ],
)
def test_a_class_that_cannot_be_made_is_refused(name: str, told: str) -> None:
    with pytest.raises(InvalidInput, match=f"'offered:{name}' cannot be made: {told}"):
        make(_application(f"offered:{name}"), PREFIXES)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("name", ["own", "offered:Own"])
def test_a_class_is_found_by_its_entry_point_or_its_path(name: str) -> None:
    found = load(name, PREFIXES)
    assert found.__name__ == "Own"
    assert issubclass(found, Exp3)


@pytest.mark.usefixtures("installed")
def test_an_entry_point_needs_no_prefix_and_nothing_is_imported_by_a_path_without_one(tmp_path: Path) -> None:
    assert load("own").__name__ == "Own"
    for name in ("offered:Own", "ends0:Own", "unittest.__main__:Own"):
        with pytest.raises(InvalidInput, match=f"'{name}' is not allowed"):
            load(name)
    assert list(tmp_path.glob("*.runs")) == []


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("exp5", "Unknown selection policy 'exp5'. It must be one of 'single', 'static', .*'package.module:Class'"),
        ("", "Unknown selection policy ''"),
        ("nowhere:Own", "'nowhere:Own' cannot be imported: ModuleNotFoundError: No module named 'nowhere'"),
        ("offered:Missing", "'offered:Missing' cannot be imported: AttributeError: .* has no attribute 'Missing'"),
        (":", "':' is not allowed"),
        ("broken", "'broken' cannot be imported: RuntimeError: out of order"),
        ("nothing", "'nothing' is no subclass of SelectionPolicy"),
        ("offered:NOTHING", "'offered:NOTHING' is no subclass of SelectionPolicy"),
        ("offered:LIE", "'offered:LIE' cannot be imported: SystemExit"),
        ("offered:Undecided", "'offered:Undecided' must have True or False as its asks_all"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_reason(name: str, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        load(name, PREFIXES)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("number", range(len(ENDS)), ids=ENDS)
def test_whatever_importing_a_policy_comes_to_is_a_refusal(number: int) -> None:
    with pytest.raises(InvalidInput, match=f"'ends{number}:Own' cannot be imported: [A-Z]"):
        load(f"ends{number}:Own", [f"ends{number}"])


@pytest.mark.usefixtures("installed")
def test_an_application_whose_policy_is_missing_has_one_that_says_why() -> None:
    policies = Policies(["ends0"])
    good = _application("exp3")
    vain = [dataclasses.replace(_application(policy), name=policy) for policy in ("ends0:Own", "unittest.__main__:Own")]
    missing = policies.prepare([vain[0], good, vain[1]])
    assert list(missing) == ["ends0:Own", "unittest.__main__:Own"]
    assert missing["ends0:Own"] == "The selection policy 'ends0:Own' cannot be imported: SystemExit: 3"
    assert isinstance(policies.policy_of(good), Exp3)
    for each in vain:
        policy = policies.policy_of(each)
        assert isinstance(policy, MissingPolicy)
        assert policy.why == missing[each.name]


@pytest.mark.usefixtures("installed")
def test_code_that_failed_is_run_again_for_another_record_alone(tmp_path: Path) -> None:
    def runs() -> int:
        return len((tmp_path / "ends0.runs").read_text())

    policies = Policies(["ends0"])
    application = _application("ends0:Own")
    for _ in range(3):
        policies.prepare([application])
        policies.policy_of(application)
    assert runs() == 1
    policies.prepare([dataclasses.replace(application, registration=2)])
    assert runs() == 2


def test_policies_that_nobody_asks_for_any_more_are_forgotten() -> None:
    policies = Policies()
    applications = [_application("exp3", eta=1.0 + number / 1e4) for number in range(1_100)]
    policies.prepare(applications)
    kept, forgotten = (policies.policy_of(each) for each in applications[:2])
    policies.prepare(applications[:1])
    assert policies.policy_of(applications[0]) is kept
    assert policies.policy_of(applications[1]) is not forgotten
