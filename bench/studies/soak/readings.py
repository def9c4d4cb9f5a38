"""What a cluster takes, at one moment after the other: memory, and room on the disk."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.rig.cluster import Cluster
from bench.rig.errors import BenchmarkError
from bench.rig.processes import resident_bytes, working_directory

STORE = "redis"


@dataclass(frozen=True, slots=True)
class Reading:
    """A cluster at one moment.

    Attributes:
        time_s: when, on time.monotonic()'s clock.
        memory: resident bytes by process.
        log_bytes, store_bytes: what logs and the store take on the disk.
    """

    time_s: float
    memory: Mapping[str, int]
    log_bytes: int
    store_bytes: int


class Readable:
    """A cluster that can be read as long as all of its processes live."""

    def __init__(self, parts: Mapping[str, int], logs: Path) -> None:
        """Takes the processes by their names, and the directory of their logs."""
        self._parts = parts
        self._logs = logs
        self._store = working_directory(parts[STORE])

    def read(self) -> Reading:
        """How it is now; BenchmarkError when a process has died."""
        memory = {name: resident_bytes(pid) for name, pid in self._parts.items()}
        return Reading(time.monotonic(), memory, _bytes_in(self._logs), _bytes_in(self._store))


@contextmanager
def readable(cluster: Cluster) -> Iterator[Readable]:
    """A cluster to be read; BenchmarkError in the end when a process had to be started again."""
    parts = cluster.parts()
    yield Readable(parts, cluster.log_directory())
    if cluster.parts() != parts:
        raise BenchmarkError(f"a process of the cluster died; see {cluster.logs}")


def _bytes_in(directory: Path) -> int:
    return sum(map(_bytes, directory.rglob("*")))


def _bytes(file: Path) -> int:
    try:
        return file.stat().st_size if file.is_file() else 0
    except FileNotFoundError:  # Written anew under another name meanwhile.
        return 0
