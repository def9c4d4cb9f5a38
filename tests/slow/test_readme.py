"""README.md pasted from top to bottom, twice, in a fresh copy of the tree.

Three things are not pasted. `make test` would run this test again; it is only checked to be something that make knows,
as every other line of make is. A block that asks for Docker needs an engine, images, and the ports of the cluster that
the rest of README talks to: tests/docker does what it says, and here the files that it names are looked for. And what
was downloaded is not downloaded again: the copy has the .venv in which the tests run, and shares the environments of
models with the other tests.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from clipper_admin import ClipperConnection, ProcessContainerManager
from tests.fixtures.pasting import Block, Terminal, interpreter, shell
from tests.fixtures.waiting import wait_until

# It may have to make the model's environment first.
pytestmark = pytest.mark.timeout(900)

ROOT = Path(__file__).parents[2]
PORTS = (1337, 1338, 1390)
# What README says that the Python blocks need.
PYTHON = ".venv/bin/python"
PINS = ("pyproject.toml", "requirements.lock")
NEEDS_DOCKER = re.compile(r"(^|&&|;)\s*docker\b", re.MULTILINE)
RECURSES = re.compile(r"make test\b")
QUERY_ID = re.compile(r'"query_id":\d+')
ERROR = 'File "<stdin>"'
REFUSED = "clipper_admin.exceptions.ClipperException: "


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody with a copy of the tree, a shell and an interpreter in it, and README.md before them."""

    shell: Terminal
    interpreter: Terminal
    blocks: list[Block]

    def paste(self, *languages: str) -> str:
        """Pastes the blocks of these languages in order; returns what the interpreter wrote to standard error."""
        complaints = []
        for block in self.blocks:
            if block.language not in languages or NEEDS_DOCKER.search(block.text):
                continue
            if block.language == "python":
                complaints.append(self.interpreter.paste(block.text)[1])
                continue
            for command, shown in block.commands:
                if not RECURSES.match(command):
                    self._run(command, shown)
        return "".join(complaints)

    def _run(self, command: str, shown: str) -> None:
        """Runs a command, which is to succeed, and to print what README shows if it shows anything."""

        def succeeds() -> bool:
            written, errors = self.shell.paste(command)
            printed, _, code = written.rpartition("\n")
            assert code == "0", f"{command}\n{printed}\n{errors}"
            # A busy machine may miss the tenth of a second that the quick start allows; then it is asked again.
            return not shown or without_ids(printed.strip()) == without_ids(shown)

        wait_until(succeeds, within_s=60)


def run(tree: Path, environment: dict[str, str], *command: str) -> str:
    """Runs a program, which is to succeed; returns what it printed."""
    return subprocess.run(command, cwd=tree, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout


def without_ids(answer: str) -> str:
    return QUERY_ID.sub('"query_id":N', answer)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh copy of the tree, with the .venv in which the tests run."""
    venv = Path(sys.prefix)
    if not (venv / ".installed-local").exists():
        pytest.skip("the tests do not run in the environment that make installs")
    listed = subprocess.run(
        ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode != 0:
        pytest.skip("git does not know the tree's files")
    copy = tmp_path_factory.mktemp("tree")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).exists():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name, follow_symlinks=False)
    (copy / ".venv").symlink_to(venv)
    # What is older than what make has installed is not installed again.
    for name in PINS:
        os.utime(copy / name, (0, 0))
    return copy


@pytest.fixture(scope="module")
def environment(clipper_home: Path) -> Iterator[dict[str, str]]:
    """The variables of the reader's shell; afterwards their cluster does not run any more."""
    for port in PORTS:
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            pytest.skip(f"port {port}, where README's cluster listens, is taken")
    yield {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    ClipperConnection(ProcessContainerManager()).stop_all(graceful=False)


@pytest.fixture
def reader(tree: Path, environment: dict[str, str], tmp_path: Path) -> Iterator[Reader]:
    """A reader with a new shell and a new interpreter."""
    with ExitStack() as opened:
        sh = opened.enter_context(shell(tree, environment, tmp_path / "shell"))
        python = opened.enter_context(interpreter(PYTHON, sh.directory, environment, tmp_path / "interpreter"))
        yield Reader(sh, python, Block.all_of((tree / "README.md").read_text()))


@pytest.mark.essential
def test_everything_can_be_pasted_from_top_to_bottom(reader: Reader) -> None:
    complaints = reader.paste("sh", "python", "console")

    assert ERROR not in complaints


def test_everything_can_be_pasted_once_more_on_what_was_left_running(reader: Reader) -> None:
    # As a `make run` leaves it that was cut off.
    connection = ClipperConnection(ProcessContainerManager())
    connection.start_clipper()
    connection.register_application("digits", "strings", "nothing", 100_000)
    connection.register_model("digits", 1, "strings")

    complaints = reader.paste("sh", "python", "console")

    assert ERROR not in complaints


def test_what_is_pasted_after_its_example_was_run_works_or_says_that_it_can_be_left(
    reader: Reader, tree: Path, environment: dict[str, str]
) -> None:
    printed = [run(tree, environment, PYTHON, "examples/quickstart.py") for _ in range(2)]
    assert all("hello-world" in each and "'query_id'" in each for each in printed)

    complaints = reader.paste("python", "console")

    refusals = [line for line in complaints.splitlines() if line.startswith(REFUSED)]
    assert len(refusals) == complaints.count("Traceback")
    assert all("go on without this call" in refusal for refusal in refusals), complaints
    assert any("application 'hello-world' already exists" in refusal for refusal in refusals)


@pytest.mark.essential
def test_what_is_not_pasted_is_there(tree: Path) -> None:
    blocks = Block.all_of((tree / "README.md").read_text())
    commands = [command.partition("#")[0].split() for block in blocks for command, _shown in block.commands]
    targets = [command[1] for command in commands if command[0] == "make"]
    files = [word for command in commands if command[0] == "docker" for word in command if "/" in word]

    assert "test" in targets
    for target in targets:
        run(tree, dict(os.environ), "make", "--dry-run", target)
    assert files
    assert all((tree / file).exists() for file in files)
    assert f"`{PYTHON}`" in (tree / "README.md").read_text()
