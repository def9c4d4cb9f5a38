"""How throughput follows the cores that query services have.

Each process of the query services is limited to the same small part of a processor, so that a machine of two stands for
one of several slow ones, on which generator and model container have cores of their own. Calls of 64 vectors keep what
these two need small. One service of several processes on one port, and several services, are measured beside one.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import astuple, dataclass
from functools import partial
from statistics import median

from bench.rig import counters, load, payloads
from bench.rig.bench import Bench
from bench.rig.cluster import QueryService
from bench.rig.cores import limited
from bench.rig.errors import BenchmarkError
from bench.rig.lanes import in_turn
from bench.rig.load import Generator
from bench.rig.models import constant
from bench.rig.processes import cpu_s
from bench.rig.report import Finding
from bench.rig.statistics import Ratio

_CPUS = 0.15
_VECTORS_A_CALL = 64
# Connections, not calls, are spread over processes: this many for each of them, with a call in flight on each.
_CONNECTIONS = 32
_WARM_UPS_S = (0.3, 1.0)
_SECONDS = 3.0
_ROUNDS = 3
_SLO_S = 2.0


@dataclass(frozen=True, slots=True)
class Shape:
    """How many query services there are, and of how many processes each."""

    services: int
    processes: int

    def __str__(self) -> str:
        return f"{self.services} × {self.processes}"


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


@dataclass(frozen=True, slots=True)
class Cores(Finding):
    """What was found: by shape, one sample a round."""

    samples: Mapping[str, Sequence[Sample]]

    @property
    def rows(self) -> list[tuple[str, float, Sample]]:
        """Each shape: its gain over the first, within rounds, and the medians of its figures."""
        rates = {shape: [each.predictions_per_s for each in samples] for shape, samples in self.samples.items()}
        gains = {shape: Ratio.of(rates[str(_SHAPES[0])], rates[shape]).median for shape in rates}
        return [(shape, gains[shape], _medians(samples)) for shape, samples in self.samples.items()]


def measure(bench: Bench) -> Cores:
    """Measures each shape in every round; BenchmarkError as for `_sample`."""
    model = constant("limited")
    with (
        bench.cluster.serving(model),
        bench.cluster.application(model.name, [model], _SLO_S, use_cache=False) as application,
    ):
        measurements = {str(shape): partial(_sample, bench, application, shape) for shape in _SHAPES}
        return Cores(in_turn(measurements, bench.rounds(_ROUNDS)))


def _sample(bench: Bench, application: str, shape: Shape) -> Sample:
    """Starts query services, and loads them.

    Raises:
        BenchmarkError: a process did not start, a call failed, an answer was a default output, or limits cannot be set.
    """
    with ExitStack() as stack:
        services = [
            stack.enter_context(bench.cluster.extra_query_service(bench.directory(), application, shape.processes))
            for _ in range(shape.services)
        ]
        pids = [pid for service in services for pid in service.pids]
        for pid in pids:
            stack.enter_context(limited(pid, _CPUS))
        generators = [_generator(bench, application, service) for service in services]
        for warm_up_s in _WARM_UPS_S:
            _run_together(generators, warm_up_s)
        read_counters = [counters.reader(service.metrics, application) for service in services]
        counted_before, used_before_s = [read() for read in read_counters], cpu_s(pids)
        rate, lasted_s = _run_together(generators, bench.seconds(_SECONDS))
        used_s = cpu_s(pids) - used_before_s
        defaults = sum((read() - before).defaults for read, before in zip(read_counters, counted_before, strict=True))
    if defaults:
        raise BenchmarkError(f"{defaults} predictions were default outputs")
    return Sample(rate, used_s / (rate * lasted_s) * 1e6, used_s / (lasted_s * _CPUS * len(pids)))


def _generator(bench: Bench, application: str, service: QueryService) -> Generator:
    message = payloads.vector_request(application, _VECTORS_A_CALL).SerializeToString()
    connections = _CONNECTIONS * len(service.pids)
    return load.native(service.address, payloads.PREDICT, [message], 1, bench.directory(), connections)


def _run_together(generators: Sequence[Generator], seconds: float) -> tuple[float, float]:
    """Predictions a second of all, and for how many seconds they came."""
    with ThreadPoolExecutor(len(generators)) as pool:
        loads = list(pool.map(lambda generator: generator.run(seconds), generators))
    rate = sum(each.calls_per_s for each in loads) * _VECTORS_A_CALL
    return rate, sum(each.calls for each in loads) * _VECTORS_A_CALL / rate


def _medians(samples: Sequence[Sample]) -> Sample:
    return Sample(*(median(column) for column in zip(*map(astuple, samples), strict=True)))
