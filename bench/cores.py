"""`python -m bench.cores`: how throughput follows the cores that query services have.

Each process of the query services is limited to the same small part of a processor, so that a machine of two stands for
one of several slow ones, on which generator and model container have cores of their own. Calls of 64 vectors keep what
these two need small. One service of several processes on one port, and several services, are measured beside one.
"""

import argparse
import logging
import shutil
import signal
import statistics
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench import counters, payloads
from bench.cluster import ADAPTIVE, Cluster, QueryService, running_cluster, running_query_service
from bench.cpu_limits import limited
from bench.errors import BenchmarkError
from bench.lanes import VECTORS_A_CALL
from bench.load import H2Load
from bench.processes import cpu_s
from bench.tables import table

# Connections, not calls, are spread over processes: this many for each of them, with a call in flight on each.
_CONNECTIONS = 32
_WARM_UPS_S = (0.3, 1.0)


@dataclass(frozen=True, slots=True)
class Shape:
    """How many query services there are, and of how many processes each."""

    services: int
    processes: int

    @property
    def cores(self) -> int:
        """How many processes there are in all."""
        return self.services * self.processes


_SHAPES = (Shape(1, 1), Shape(1, 2), Shape(1, 4), Shape(2, 1), Shape(4, 1))


@dataclass(frozen=True, slots=True)
class Sample:
    """What one measurement found.

    Attributes:
        predictions_per_s: the rate.
        cpu_micros: microseconds of the query services' processor time for each prediction.
        busy: which part of the processor time that they may use they used.
    """

    predictions_per_s: float
    cpu_micros: float
    busy: float


class Bench:
    """A cluster and what is asked of it.

    Args:
        cluster: Clipper, with a model that returns at once.
        scratch: an empty directory.
        cpus: how much of a processor each process of a query service has.
    """

    def __init__(self, cluster: Cluster, scratch: Path, cpus: float) -> None:
        self._cluster = cluster
        self._scratch = scratch
        self._cpus = cpus
        self._message = payloads.predict_request(ADAPTIVE, VECTORS_A_CALL).SerializeToString()

    def measure(self, shape: Shape, seconds: float) -> Sample:
        """Starts query services, and loads them for so long.

        Raises:
            BenchmarkError: a process did not start, a call failed, an answer was a default output, or limits cannot be
                set.
        """
        with ExitStack() as stack:
            services = [
                stack.enter_context(running_query_service(self._directory(), self._cluster, shape.processes))
                for _ in range(shape.services)
            ]
            pids = [pid for service in services for pid in service.process.workers]
            for pid in pids:
                stack.enter_context(limited(pid, self._cpus))
            generators = [self._generator(service, shape) for service in services]
            for warm_up_s in _WARM_UPS_S:
                _run_together(generators, warm_up_s)
            read_counters = [counters.reader(service.metrics, ADAPTIVE) for service in services]
            counted_before = [read() for read in read_counters]
            used_before_s = sum(map(cpu_s, pids))
            rate, lasted_s = _run_together(generators, seconds)
            used_s = sum(map(cpu_s, pids)) - used_before_s
            defaults = sum(
                (read() - before).defaults for read, before in zip(read_counters, counted_before, strict=True)
            )
        if defaults:
            raise BenchmarkError(f"{defaults} predictions were default outputs")
        return Sample(rate, used_s / (rate * lasted_s) * 1e6, used_s / (lasted_s * self._cpus * shape.cores))

    def _generator(self, service: QueryService, shape: Shape) -> H2Load:
        url = f"http://{service.address}{payloads.PREDICT}"
        return H2Load(url, [self._message], 1, self._directory(), connections=_CONNECTIONS * shape.processes)

    def _directory(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self._scratch))


def _run_together(generators: Sequence[H2Load], seconds: float) -> tuple[float, float]:
    """Predictions a second of all, and for how many seconds they came."""
    with ThreadPoolExecutor(len(generators)) as pool:
        loads = list(pool.map(lambda generator: generator.run(seconds), generators))
    rate = sum(load.calls_per_s for load in loads) * VECTORS_A_CALL
    return rate, sum(load.calls for load in loads) * VECTORS_A_CALL / rate


def main() -> int:
    """Runs the benchmark; returns the exit code."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda _signal, _frame: sys.exit("The benchmark was terminated"))
    logging.disable(logging.INFO)
    try:
        samples = run(arguments.rounds, arguments.seconds, arguments.cpus)
    except BenchmarkError as error:
        print(f"The benchmark failed: {error}", file=sys.stderr)
        return 2
    print(report(samples))
    return 0


def run(rounds: int, seconds: float, cpus: float) -> list[list[Sample]]:
    """Samples by round and shape; BenchmarkError as for `Bench.measure`, or without h2load."""
    if not shutil.which("h2load"):
        raise BenchmarkError("h2load is not installed (Debian: nghttp2-client)")
    samples = []
    with (
        tempfile.TemporaryDirectory(prefix="bench-cores-") as directory,
        running_cluster(Path(directory) / "cluster") as cluster,
    ):
        bench = Bench(cluster, Path(directory), cpus)
        for number in range(1, rounds + 1):
            samples.append([bench.measure(shape, seconds) for shape in _SHAPES])
            rates = ", ".join(f"{sample.predictions_per_s:,.0f}/s" for sample in samples[-1])
            print(f"round {number}: {rates}", file=sys.stderr, flush=True)
    return samples


def report(samples: Sequence[Sequence[Sample]]) -> str:
    """A table of medians; gains are the medians of the rounds' gains over their first shape."""
    head = ("services", "processes of each", "predictions/s", "against one", "µs a prediction", "of their time used")
    rows = []
    for place, shape in enumerate(_SHAPES):
        column = [each[place] for each in samples]
        gain = statistics.median(each[place].predictions_per_s / each[0].predictions_per_s for each in samples)
        rate = statistics.median(sample.predictions_per_s for sample in column)
        cpu = statistics.median(sample.cpu_micros for sample in column)
        busy = statistics.median(sample.busy for sample in column)
        rows.append(
            (f"{shape.services}", f"{shape.processes}", f"{rate:,.0f}", f"**{gain:.2f}**", f"{cpu:.1f}", f"{busy:.0%}")
        )
    return table(head, rows)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.cores", description="Measures how throughput follows the query services' cores."
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (default: 3)")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each measurement takes (default: 3)")
    parser.add_argument(
        "--cpus", type=float, default=0.15, help="how much of a processor each process has (default: 0.15)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
