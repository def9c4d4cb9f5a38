"""What a service counts, and what processes spend, while load is on them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from bench.rig.counters import Counters
from bench.rig.processes import cpu_s

SERVER = "query service"
CONTAINER = "container"
ENVOY = "Envoy"
GENERATOR = "generator"


@dataclass(frozen=True, slots=True)
class Spent:
    """What was counted and spent, until a moment or between two.

    Attributes:
        counted: by the query service.
        cpu_s: seconds of processor time, by process.
    """

    counted: Counters
    cpu_s: Mapping[str, float]

    def __sub__(self, earlier: Self) -> "Spent":
        used_s = {name: used_s - earlier.cpu_s[name] for name, used_s in self.cpu_s.items()}
        return Spent(self.counted - earlier.counted, used_s)

    @property
    def mean_batch(self) -> float:
        """Inputs in a batch, on average; 0 when there was none."""
        return self.counted.inputs / self.counted.batches if self.counted.batches else 0.0

    def cpu_micros(self, predictions: int, generator_s: float) -> dict[str, float]:
        """Microseconds of processor time for each of so many predictions, by process, the generator's included."""
        return {name: used_s / predictions * 1e6 for name, used_s in {**self.cpu_s, GENERATOR: generator_s}.items()}


@dataclass(frozen=True, slots=True)
class Meter:
    """Reads both.

    Attributes:
        counters: of the application that is asked.
        pids: the processes that work for it, by their part in it.
    """

    counters: Callable[[], Counters]
    pids: Mapping[str, Sequence[int]]

    def read(self) -> Spent:
        """What was counted and spent until now; BenchmarkError when a process has ended."""
        return Spent(self.counters(), {name: cpu_s(pids) for name, pids in self.pids.items()})
