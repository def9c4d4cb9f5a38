"""A wheel of the tree, and the interpreters to try it on."""

from pathlib import Path

import pytest

from tests.fixtures.interpreters import WANTED, build_wheel, interpreters


def pytest_report_header() -> str:
    """Which interpreters this machine has."""
    had = ", ".join(f"{interpreter.version} ({interpreter.program})" for interpreter in interpreters().values())
    missing = ", ".join(version for version in WANTED if version not in interpreters())
    return f"interpreters: {had}; this machine has no {missing}" if missing else f"interpreters: {had}"


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that `pip install .` makes."""
    return build_wheel(tmp_path_factory.mktemp("wheel"))
