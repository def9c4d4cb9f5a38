"""Fixtures for all tests, and how several processes share the tests (`make test`)."""

import os
from collections.abc import Generator, Iterator
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

from clipper_admin.hosts.process import ports
from tests.fixtures.redis_server import redis_server

__all__ = ["redis_server"]

# Whose tests share a cluster, or what else takes long to make. Elsewhere nothing is shared by the tests of two files.
# Two clusters of containers at once are what two cores bear: idle ones cost time, too.
_KEPT_TOGETHER = (
    "tests/docker/test_compose",
    "tests/docker/test_docker",
    "tests/frameworks/",
    "tests/pythons/",
    "tests/slow/docker/",
)


class _Scheduling(LoadFileScheduling):  # type: ignore[misc]  # pytest-xdist has no types
    """Gives all tests of a file, or of several that are kept together, to one process."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return next((start for start in _KEPT_TOGETHER if file.startswith(start)), file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> _Scheduling:
    """Which process runs which tests."""
    return _Scheduling(config, log)


@pytest.fixture(scope="session", autouse=True)
def ports_of_its_own(worker_id: str) -> Iterator[None]:
    """Each of several processes chooses free ports among others: nobody takes one before who chose it listens there."""
    with pytest.MonkeyPatch.context() as patch:
        if worker_id != "master":
            count, number = int(os.environ["PYTEST_XDIST_WORKER_COUNT"]), int(worker_id.removeprefix("gw"))
            patch.setattr(ports, "_PORTS", ports._PORTS[number % count :: count])
        yield


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """Lets a test print lone surrogates, which cannot be sent to the process that reports."""
    report = yield
    return _sendable(report)


def _sendable(part: Any) -> Any:
    match part:
        case str():
            return part.encode(errors="replace").decode()
        case list() | tuple():
            return type(part)(map(_sendable, part))
        case dict():
            return {key: _sendable(value) for key, value in part.items()}
    return part
