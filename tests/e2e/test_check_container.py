"""The command `clipper check-container`."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from clipper_admin.__main__ import main
from tests.fixtures.broken_containers import BrokenContainer

Refusal = Callable[..., str]

CLIPPER = [str(Path(sys.executable).parent / "clipper"), "check-container"]
QUICKLY = ("--input-type", "double", "--skip", "pings", "--skip", "large")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*CLIPPER, *arguments], capture_output=True, text=True, check=False)


@pytest.fixture
def refusal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refusal:
    """What the command says when it ends with 2."""

    def refuse(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["clipper", "check-container", *arguments])
        with pytest.raises(SystemExit) as ending:
            main()
        assert ending.value.code == 2
        return capsys.readouterr().err

    return refuse


def test_it_ends_with_0_and_a_line_for_each_check_when_nothing_is_broken(tmp_path: Path) -> None:
    file = tmp_path / "expected.jsonl"
    file.write_text('{"input": [1, 2], "output": 3}\n')
    with BrokenContainer() as container:
        told = run(container.address, *QUICKLY, "--expect", str(file))
    assert (told.returncode, told.stderr) == (0, "")
    *lines, summary = told.stdout.splitlines()
    assert (
        "kept           order         Pipelined batches are answered in the order sent, each with its own outputs"
        in lines
    )
    assert (
        "not looked at  lease         with --start COMMAND the container is started here, and this is looked at"
        in lines
    )
    assert summary == "15 kept, 0 broken, 6 not looked at"


def test_it_ends_with_1_when_something_is_broken() -> None:
    with BrokenContainer("ids as doubles") as container:
        told = run(container.address, *QUICKLY)
    assert told.returncode == 1
    assert "BROKEN         ids           Batch 9007199254740993 was the next to be answered" in told.stdout


def test_it_ends_with_1_when_nobody_serves_there() -> None:
    told = run("127.0.0.1:1", *QUICKLY)
    assert told.returncode == 1
    assert "answers UNAVAILABLE" in told.stdout
    assert "the container does not answer, and has to be started again" in told.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("nowhere", "--input-type", "doubles"), "'nowhere' is not host:port"),
        (
            ("127.0.0.1:1", "--input-type", "images"),
            "there is no input type 'images'; there are bytes, integers, floats",
        ),
        (("127.0.0.1:1",), "the following arguments are required: --input-type"),
        (("127.0.0.1:1", *QUICKLY, "--patience", "0"), "'0' is not a number of seconds above 0"),
        (("127.0.0.1:1", *QUICKLY, "--skip", "all"), "invalid choice: 'all'"),
        (("127.0.0.1:1", *QUICKLY, "--expect", "/no/such"), "'/no/such' cannot be read"),
        (("127.0.0.1:0", *QUICKLY, "--start", "/no/such --option"), "'/no/such' cannot be started: No such file"),
    ],
    ids=["address", "type", "no type", "patience", "check", "file", "command"],
)
def test_it_ends_with_2_when_it_cannot_be_carried_out(
    refusal: Refusal, arguments: tuple[str, ...], sentence: str
) -> None:
    assert sentence in refusal(*arguments)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("[1, 2]", 'line 2: a line must be a JSON object with "input", and either "output" or "error"'),
        ('{"input": [1]}', 'line 2: a line must be a JSON object with "input", and either "output" or "error"'),
        ('{"input": ["one"], "output": "1"}', "line 2: A sample input must be one of the type 'doubles'"),
        ('{"input": [1], "error": 1}', 'line 2: "error" must be a text'),
        ("{", "line 2: Expecting property name"),
    ],
)
def test_a_line_of_the_file_that_is_not_right_is_named(
    refusal: Refusal, tmp_path: Path, line: str, sentence: str
) -> None:
    file = tmp_path / "expected.jsonl"
    file.write_text(f'{{"input": [1], "output": "1.0"}}\n{line}\n')
    assert sentence in refusal("127.0.0.1:1", *QUICKLY, "--expect", str(file))
