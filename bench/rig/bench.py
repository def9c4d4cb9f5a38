"""What a study is given: a cluster, a generator, room for files, and how much of everything."""

import functools
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bench.rig.cluster import Cluster, running_cluster
from bench.rig.disturbances import Disturbances
from bench.rig.jobs import Generator

# What a quick look makes do with, where it is but to see that everything works.
_QUICK = 10
_QUICK_S = 0.5


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured.

    Attributes:
        seconds: how long each measurement takes; None: as long as its study says.
        rounds: how often lanes are measured; None: as often as their study says.
        is_quick: whether it is but to see that everything works.
    """

    seconds: float | None = None
    rounds: int | None = None
    is_quick: bool = False


class Bench:
    """A run's means, each started when it is first asked for and ended with the context.

    Attributes:
        build: where logs and raw figures go.
        disturbances: has measurements made again.
    """

    def __init__(self, effort: Effort, build: Path) -> None:
        self.build = build
        self.disturbances = Disturbances()
        self._effort = effort
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._scratch = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="clipper-bench-"))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def seconds(self, usual: float) -> float:
        """How long a measurement takes that usually takes so long."""
        return self._effort.seconds or (min(usual, _QUICK_S) if self._effort.is_quick else usual)

    def rounds(self, usual: int) -> int:
        """How often lanes are measured that usually are so often."""
        return self._effort.rounds or (1 if self._effort.is_quick else usual)

    def amount(self, usual: int, least: int = 1) -> int:
        """How much of something there is that there usually is so much of."""
        return max(least, usual // _QUICK) if self._effort.is_quick else usual

    @functools.cached_property
    def cluster(self) -> Cluster:
        """Clipper, of one query service."""
        return self._stack.enter_context(running_cluster("bench", self.build / "logs"))

    @functools.cached_property
    def generator(self) -> Generator:
        """A load generator."""
        return self._stack.enter_context(Generator())

    def check_cluster(self) -> None:
        """BenchmarkError when the cluster has started a service again, so that figures would mean nothing."""
        if "cluster" in self.__dict__:
            self.cluster.check_nothing_died()

    def directory(self) -> Path:
        """A new and empty one, which is deleted in the end."""
        return Path(tempfile.mkdtemp(dir=self._scratch))
