"""Clipper in an environment that uv made: there is no pip in it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.interpreters import uv

PROVIDE = """
import sys
from pathlib import Path
from clipper_admin.hosts.process import environments
print(environments.provide(Path(sys.argv[1]), ["iniconfig==2.3.1"]).python)
"""


@pytest.mark.timeout(600)
def test_packages_of_models_are_installed_with_uv_where_no_interpreter_has_pip(wheel: Path, tmp_path: Path) -> None:
    python = tmp_path / "environment" / "bin" / "python"
    subprocess.run((uv(), "venv", "--quiet", "--python", sys.executable, tmp_path / "environment"), check=True)
    subprocess.run((uv(), "pip", "install", "--quiet", "--python", python, wheel), check=True)
    # Stands before that of every interpreter.
    (tmp_path / "pip.py").write_text("raise SystemExit(1)")
    variables = {**os.environ, "PYTHONPATH": str(tmp_path), "PATH": f"{uv().parent}:{os.environ['PATH']}"}

    made = subprocess.run(
        (python, "-P", "-c", PROVIDE, tmp_path), cwd=tmp_path, env=variables, capture_output=True, text=True
    )

    assert made.returncode == 0, made.stderr
    program = "import iniconfig, clipper_admin; print(iniconfig.__file__)"
    told = subprocess.run((made.stdout.strip(), "-P", "-c", program), cwd=tmp_path, capture_output=True, text=True)
    assert Path(told.stdout).is_relative_to(tmp_path / "environments"), told.stderr
