"""The cluster that is watched: two query services, two replicas of a model, and an application that learns."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from clipper_admin.local.cluster import LocalCluster
from clipper_admin.local.control import SUPERVISOR
from clipper_admin.local.directory import clipper_home

from bench.errors import BenchmarkError
from bench.slo.models import PIXELS, Images, Subject
from clipper_admin import ClipperConnection, ProcessContainerManager
from clipper_admin.deployers import python as python_deployer

LEARNER = "learner"
SLO_S = 0.1
_CLUSTER = "bench-soak"
_APPLICATION = "sums"
# Small, so that it is full before memory is watched.
_CACHE_BYTES = 1 << 20
# Nor does the store remember more after this than before.
_REMEMBERED_S = 20
_QUESTIONS = 256
_SEED = 0


def _sums(images: Images) -> list[str]:
    return [str(round(float(image.sum()), 6)) for image in images]


def subject() -> Subject:
    """A model that adds numbers."""
    images = np.random.default_rng(_SEED).random((_QUESTIONS, PIXELS))
    return Subject(_APPLICATION, _APPLICATION, _sums, images, tuple(_sums(images)))


@dataclass(frozen=True, slots=True)
class SoakedCluster:
    """A running cluster.

    Attributes:
        address: where Envoy takes predictions and feedback, host:port.
    """

    address: str
    _cluster: LocalCluster = field(repr=False)

    def memory(self) -> dict[str, int]:
        """The resident bytes of each process by its name; BenchmarkError when one has died."""
        # What is written down, since whoever asks the supervisor makes it work.
        state = self._cluster.state()
        identities = {record.spec.name: record.identity for record in state.processes} | {SUPERVISOR: state.supervisor}
        try:
            return {name: _resident_bytes(each.pid) for name, each in identities.items() if each is not None}
        except (FileNotFoundError, ProcessLookupError):
            raise BenchmarkError(f"a process died; see {self._cluster.directory.logs}") from None

    def check_nothing_died(self) -> None:
        """BenchmarkError when a process had to be started again."""
        died = [status.name for status in self._cluster.processes() if status.deaths]
        if died:
            raise BenchmarkError(f"{', '.join(died)} died; see {self._cluster.directory.logs}")

    def log_bytes(self) -> int:
        """How much all logs take."""
        return sum(log.stat().st_size for log in self._cluster.directory.log_files())

    def store_bytes(self) -> int:
        """How much the store takes on the disk."""
        return sum(file.stat().st_size for file in self._cluster.directory.redis.rglob("*") if file.is_file())


@contextmanager
def running_cluster(served: Subject) -> Iterator[SoakedCluster]:
    """The cluster with the application of `served`, which no cache answers for, and LEARNER."""
    manager = ProcessContainerManager(_CLUSTER, query_port=0, management_port=0, metrics_port=0)
    connection = ClipperConnection(manager)
    connection.start_clipper(num_frontend_replicas=2, cache_size=_CACHE_BYTES)
    try:
        python_deployer.deploy_python_closure(connection, served.name, 1, "doubles", served.function, num_replicas=2)
        connection.register_application(served.name, "doubles", "none", round(SLO_S * 1e6), use_cache=False)
        connection.register_application(
            *(LEARNER, "doubles", "none", 1_000_000),
            selection_policy="exp3",
            feedback_window_s=_REMEMBERED_S,
            context_ttl_s=_REMEMBERED_S,
        )
        for application in (served.name, LEARNER):
            connection.link_model_to_app(application, served.name)
        yield SoakedCluster(connection.get_query_addr(), LocalCluster(_CLUSTER, clipper_home()))
    finally:
        connection.stop_all(graceful=False)


@dataclass(frozen=True, slots=True)
class Reading:
    """A cluster at one moment.

    Attributes:
        time_s: when, on time.monotonic()'s clock.
        memory: resident bytes by process.
        log_bytes, store_bytes: what logs and the store take on the disk.
    """

    time_s: float
    memory: dict[str, int]
    log_bytes: int
    store_bytes: int


def read(cluster: SoakedCluster) -> Reading:
    """How it is now."""
    return Reading(time.monotonic(), cluster.memory(), cluster.log_bytes(), cluster.store_bytes())


def names(readings: Sequence[Reading]) -> list[str]:
    """The processes in the first reading."""
    return list(readings[0].memory)


def _resident_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))
