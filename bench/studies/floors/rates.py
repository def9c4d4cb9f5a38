"""Who is asked what, and how many calls are kept in flight: Clipper in turn with a bare server, and with itself."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from statistics import median

from bench.rig import lanes
from bench.rig.bench import Bench
from bench.rig.cluster import UNBATCHED, Cluster
from bench.rig.lanes import Lane, Sample, Server, in_turn
from bench.rig.meter import CONTAINER, ENVOY, GENERATOR, SERVER
from bench.rig.models import Model, constant
from bench.rig.report import Check, Finding, table
from bench.studies.floors import baseline
from bench.studies.floors.comparisons import (
    AGAINST_BASELINE,
    AGAINST_ITSELF,
    AGAINST_ONE_MODEL,
    Comparison,
    Name,
    Samples,
)

_ADAPTIVE = constant("adaptive")
_SINGLE = constant("single")
_ARMS = [constant(f"arm-{number}") for number in range(1, 5)]
_CACHED = "cached"
# Named after its model or its selection policy. All but one keep away from the cache.
_APPLICATIONS: dict[str, list[Model]] = {
    _ADAPTIVE.name: [_ADAPTIVE],
    _CACHED: [_ADAPTIVE],
    _SINGLE.name: [_SINGLE],
    "exp3": _ARMS,
    "majority": _ARMS,
}
# Far away: a late answer is to be seen in the latencies and not to change what is answered.
_FAR_S = 2.0

_IN_FLIGHT = 64
_VECTORS_A_CALL = 64
_VECTOR_CALLS_IN_FLIGHT = 16
_PIPELINED = 256
_STREAMS = 2
_ROUNDS = 5
_SECONDS = 1.5


@dataclass(frozen=True, slots=True)
class Rates(Finding):
    """What was found.

    Attributes:
        seconds: how long each measurement took.
        samples: by lane, one a round.
    """

    seconds: float
    samples: Samples

    def checks(self) -> list[Check]:
        """The floors and ceilings."""
        comparisons = (*AGAINST_BASELINE, *AGAINST_ONE_MODEL)
        return [each.check(self.samples) for each in comparisons if each.bound is not None]

    def words(self) -> Mapping[str, object]:
        """See `Finding`."""
        return {
            "rounds": len(self.samples[Name.NATIVE]),
            "seconds": f"{self.seconds:g}",
            "in_flight": _IN_FLIGHT,
            "vectors": _VECTORS_A_CALL,
            "vector_calls": _VECTOR_CALLS_IN_FLIGHT,
            "streams": _STREAMS,
            "pipelined": _PIPELINED,
            "against_baseline": self._compared(AGAINST_BASELINE, "baseline", "Clipper"),
            "against_one_model": self._compared(AGAINST_ONE_MODEL, "one model", "four models"),
            "against_itself": self._compared(AGAINST_ITSELF, "without", "with"),
            "lanes": self._lanes(),
            "cpu": self._cpu(),
        }

    def _compared(self, comparisons: Sequence[Comparison], base: str, ours: str) -> str:
        columns: dict[str, Callable[[Comparison], str]] = {
            "measure": lambda each: each.title,
            base: lambda each: each.quantity.told(self.samples[each.base]),
            ours: lambda each: each.quantity.told(self.samples[each.lane]),
            "ratio": lambda each: f"**{each.ratio(self.samples).median:.2f}**",
            "floor": lambda each: "" if each.bound is None else each.check(self.samples).bound,
        }
        return table(comparisons, columns)

    def _lanes(self) -> str:
        def told(attribute: str, form: str, factor: float = 1.0) -> Callable[[str], str]:
            return lambda name: form.format(median(getattr(each, attribute) for each in self.samples[name]) * factor)

        batch = told("mean_batch", "{:.1f}")
        columns: dict[str, Callable[[str], str]] = {
            "load": str,
            "predictions/s": told("predictions_per_s", "{:,.0f}"),
            "p50 of a call, ms": told("p50_s", "{:.2f}", 1e3),
            "p99 of a call, ms": told("p99_s", "{:.2f}", 1e3),
            "inputs in a batch": lambda name: batch(name) if self.samples[name][0].mean_batch else "",
        }
        return table(self.samples, columns)

    def _cpu(self) -> str:
        def spent(part: str) -> Callable[[str], str]:
            return lambda name: _median_micros(self.samples[name], part)

        parts = {"server": SERVER, "container": CONTAINER, "Envoy": ENVOY, "generator": GENERATOR}
        return table(self.samples, {"load": str, **{head: spent(part) for head, part in parts.items()}})


def measure(bench: Bench) -> Rates:
    """Measures every lane in every round; BenchmarkError as for `bench.rig.lanes.measure`."""
    seconds = bench.seconds(_SECONDS)
    with _served(bench.cluster), baseline.running(bench, _ADAPTIVE.name) as bare:
        measurements = {
            name: partial(bench.disturbances.avoid, partial(lanes.measure, lane, seconds))
            for name, lane in _lanes(bench, bare).items()
        }
        return Rates(seconds, in_turn(measurements, bench.rounds(_ROUNDS)))


@contextmanager
def _served(cluster: Cluster) -> Iterator[None]:
    """All applications, whose objective is far."""
    with ExitStack() as stack:
        stack.enter_context(cluster.serving(_ADAPTIVE, *_ARMS))
        stack.enter_context(cluster.serving(_SINGLE, batching=UNBATCHED))
        for name, models in _APPLICATIONS.items():
            policy = "single" if len(models) == 1 else name
            stack.enter_context(cluster.application(name, models, _FAR_S, policy, use_cache=name == _CACHED))
        yield


def _lanes(bench: Bench, bare: Server) -> dict[str, Lane]:
    """All lanes in the order in which they are to be measured, those that are compared close to each other."""
    ours, cached, unbatched, bandit, ensemble = (
        Server.of(bench.cluster, name, models, bench.directory) for name, models in _APPLICATIONS.items()
    )
    return {
        Name.BASELINE_NATIVE: bare.native(_IN_FLIGHT),
        Name.NATIVE: ours.native(_IN_FLIGHT),
        Name.BANDIT_NATIVE: bandit.native(_IN_FLIGHT),
        Name.ENSEMBLE_NATIVE: ensemble.native(_IN_FLIGHT),
        Name.VECTORS: ours.native(_VECTOR_CALLS_IN_FLIGHT, _VECTORS_A_CALL),
        Name.BASELINE_REST: bare.rest(_IN_FLIGHT),
        Name.REST: ours.rest(_IN_FLIGHT),
        Name.STREAM: ours.stream(_STREAMS, _PIPELINED),
        Name.UNBATCHED: unbatched.native(_IN_FLIGHT),
        Name.CACHED: cached.native(_IN_FLIGHT),
        Name.BASELINE_NATIVE_ALONE: bare.native(1),
        Name.NATIVE_ALONE: ours.native(1),
        Name.BASELINE_REST_ALONE: bare.rest(1),
        Name.REST_ALONE: ours.rest(1),
    }


def _median_micros(samples: Sequence[Sample], part: str) -> str:
    spent = [sample.cpu_micros[part] for sample in samples if part in sample.cpu_micros]
    return f"{median(spent):.1f}" if spent else ""
