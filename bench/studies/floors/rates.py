"""Who is asked what, and how many calls are kept in flight: Clipper in turn with a bare server, and with itself."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import NamedTuple

from bench.rig import lanes
from bench.rig.bench import Bench
from bench.rig.cluster import UNBATCHED, Cluster
from bench.rig.lanes import Lane, Sample, Server, in_turn
from bench.rig.meter import CONTAINER, ENVOY, GENERATOR, SERVER
from bench.rig.models import Model, constant
from bench.rig.report import Check, Finding
from bench.studies.floors import baseline
from bench.studies.floors.comparisons import (
    AGAINST_BASELINE,
    AGAINST_ITSELF,
    AGAINST_ONE_MODEL,
    Name,
    Row,
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


class Medians(NamedTuple):
    """A lane in a table: quantities as of `Sample`; "" for what there is not."""

    name: str
    rate: float
    p50_s: float
    p99_s: float
    batch: str
    server: str
    container: str
    envoy: str
    generator: str

    @classmethod
    def of(cls, name: str, samples: Sequence[Sample]) -> "Medians":
        """A lane's."""
        rate, p50_s, p99_s, batch = (
            median(getattr(sample, quantity) for sample in samples)
            for quantity in ("predictions_per_s", "p50_s", "p99_s", "mean_batch")
        )
        spent = [
            f"{median(sample.cpu_micros[part] for sample in samples):.1f}" if part in samples[0].cpu_micros else ""
            for part in (SERVER, CONTAINER, ENVOY, GENERATOR)
        ]
        return cls(name, rate, p50_s, p99_s, f"{batch:.1f}" if batch else "", *spent)


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

    @property
    def rounds(self) -> int:
        """How often each lane was measured."""
        return len(self.samples[Name.NATIVE])

    @property
    def against_baseline(self) -> list[Row]:
        """Clipper beside the baseline."""
        return [each.row(self.samples) for each in AGAINST_BASELINE]

    @property
    def against_one_model(self) -> list[Row]:
        """Four models beside one."""
        return [each.row(self.samples) for each in AGAINST_ONE_MODEL]

    @property
    def against_itself(self) -> list[Row]:
        """With something beside without it."""
        return [each.row(self.samples) for each in AGAINST_ITSELF]

    @property
    def lanes(self) -> list[Medians]:
        """The medians of the rounds."""
        return [Medians.of(name, samples) for name, samples in self.samples.items()]


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
