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
    """Keeps tests that share a cluster or other costly things in one process; elsewhere these are a file's own."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(_group(item)))


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """Lets a test print lone surrogates, which cannot be sent to the process that reports."""
    report = yield
    return json.loads(json.dumps(report, ensure_ascii=False).encode(errors="replace"))


def _group(item: pytest.Item) -> str:
    file = item.path.relative_to(_TESTS)
    match file.parts[0]:
        case "docker":
            uses_compose = isinstance(item, pytest.Function) and "compose_cluster" in item.fixturenames
            return "compose" if uses_compose else "docker"
        case "pythons":
            return "pythons"
        case _:
            return str(file.with_suffix(""))
