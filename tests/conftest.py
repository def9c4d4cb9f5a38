"""Fixtures for all tests, and how several processes share the tests (`make test`)."""

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.redis_server import redis_server

__all__ = ["redis_server"]

_TESTS = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keeps together in one process what tests share: a file's fixtures, tests/docker's engine, tests/pythons' wheel."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(_group(item.path.relative_to(_TESTS))))


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """Lets a test print lone surrogates, which cannot be sent to the process that reports."""
    report = yield
    return json.loads(json.dumps(report, ensure_ascii=False).encode(errors="replace"))


def _group(file: Path) -> str:
    folder = file.parts[0]
    return folder if folder in ("docker", "pythons") else str(file.with_suffix(""))
