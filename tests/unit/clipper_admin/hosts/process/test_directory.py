"""Where clusters keep their files."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from clipper_admin import ClipperException, ProcessContainerManager
from clipper_admin.hosts.process.directory import clipper_home


def test_the_home_is_the_configured_directory_else_one_in_the_users(tmp_path: Path) -> None:
    assert clipper_home({"CLIPPER_HOME": str(tmp_path / "a" / "b")}) == tmp_path / "a" / "b"
    assert clipper_home({}) == Path.home() / ".clipper"
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("home", ["file", "file/below"])
def test_a_home_that_cannot_be_written_is_refused_with_what_to_do(
    home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("CLIPPER_HOME", str(tmp_path / home))

    with pytest.raises(ClipperException, match=r"files in .*file.* you cannot write there\. Set .*CLIPPER_HOME"):
        ProcessContainerManager()


@pytest.mark.parametrize("command", [("start",), ("status",), ("stop",), ("environment", "iniconfig")])
def test_the_command_says_so_too(command: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    environment = {**os.environ, "CLIPPER_HOME": str(tmp_path / "file")}

    failed = subprocess.run(
        (sys.executable, "-m", "clipper_admin", *command), env=environment, capture_output=True, text=True
    )

    assert failed.returncode == 1
    assert failed.stderr.startswith("Clusters of local processes keep their files in ")
