"""Fixtures for all tests, and how several processes share the tests (`make test`)."""

import json
from collections.abc import Generator
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

from tests.fixtures.redis_server import redis_server

__all__ = ["redis_server"]

# Whose tests share a cluster, or what else takes long to make. Elsewhere nothing is shared by the tests of two files.
# Two clusters of containers at once are what two cores bear: idle ones cost time, too.
_KEPT_TOGETHER = ("tests/docker/test_compose", "tests/docker/test_docker", "tests/frameworks/", "tests/pythons/")


class _Scheduling(LoadFileScheduling):  # type: ignore[misc]  # pytest-xdist has no types
    """Gives all tests of a file, or of several that are kept together, to one process."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return next((start for start in _KEPT_TOGETHER if file.startswith(start)), file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> _Scheduling:
    """Which process runs which tests."""
    return _Scheduling(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """Lets a test print lone surrogates, which cannot be sent to the process that reports."""
    report = yield
    # What prints is a test; of what cannot be collected pytest-xdist wants the very types.
    if report["$report_type"] != "TestReport":
        return report
    return json.loads(json.dumps(report, ensure_ascii=False).encode(errors="replace"))
