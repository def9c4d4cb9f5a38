"""Two trees of the repository, paired: what a prediction costs each in processor time, measured in turn.

Each tree runs a cluster by its own code, both at the same time, of which one is asked; both are started anew for every
round, since processes of the same code differ, too. Within a round a lane's two measurements follow each other, and
which tree is first changes from round to round. The ratio of a lane is the median of its rounds' ratios; where the
spread reaches over 1, nothing was shown. A tree compared with itself shows what this machine can tell.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench.rig import counters, lanes
from bench.rig.bench import Bench
from bench.rig.cluster import found_query_services, pids_of_containers
from bench.rig.feedback import FeedbackLoad
from bench.rig.lanes import Lane, Sample, Server
from bench.rig.meter import CONTAINER, SERVER, Meter
from bench.rig.processes import MARK, Process
from bench.rig.report import Finding
from bench.rig.statistics import Ratio
from bench.studies import compare_side
from bench.studies.compare_side import ARMS, BANDIT, MODEL, READY

_ROUNDS = 5
_SECONDS = 2.0
_START_S = 120.0
_END_S = 30.0
# Clients that learn, side by side.
_LEARNING = 16


class Row(NamedTuple):
    """A part of the system in a lane: medians of both trees, and how many times A's cost B's is."""

    lane: str
    part: str
    base_micros: float
    changed_micros: float
    ratio: Ratio
    base_per_s: float
    changed_per_s: float

    @classmethod
    def of(cls, lane: str, part: str, base: Sequence[Sample], changed: Sequence[Sample]) -> "Row":
        """From both trees' samples."""
        a, b = ([each.cpu_micros[part] for each in samples] for samples in (base, changed))
        a_per_s, b_per_s = (median(each.predictions_per_s for each in samples) for samples in (base, changed))
        return cls(lane, part, median(a), median(b), Ratio.of(a, b), a_per_s, b_per_s)


@dataclass(frozen=True, slots=True)
class Compared(Finding):
    """What was found.

    Attributes:
        trees: the two.
        samples: by lane, the two trees' samples, one a round.
    """

    trees: tuple[str, str]
    samples: Mapping[str, tuple[Sequence[Sample], Sequence[Sample]]]

    @property
    def rounds(self) -> int:
        """How many there were."""
        return len(next(iter(self.samples.values()))[0])

    @property
    def rows(self) -> list[Row]:
        """What each part of each tree costs in each lane."""
        return [Row.of(lane, part, *self.samples[lane]) for lane in self.samples for part in (SERVER, CONTAINER)]


def measure(base: Path, changed: Path, bench: Bench) -> Compared:
    """Measures both trees in every lane of every round.

    Raises:
        BenchmarkError: a tree's cluster did not start, a call failed or an answer was wrong.
    """
    samples: dict[str, tuple[list[Sample], list[Sample]]] = {}
    rounds, seconds = bench.rounds(_ROUNDS), bench.seconds(_SECONDS)
    for number in range(rounds):
        with _starting(bench, base, "a") as of_base, _starting(bench, changed, "b") as of_changed:
            base_lanes, changed_lanes = of_base().lanes(), of_changed().lanes()
            for name, lane in base_lanes.items():
                pair = _pair((lane, changed_lanes[name]), seconds, swapped=number % 2 == 1)
                for column, sample in zip(samples.setdefault(name, ([], [])), pair, strict=True):
                    column.append(sample)
                costs = " and ".join(f"{sample.cpu_micros[SERVER]:.1f}" for sample in pair)
                print(f"round {number + 1} of {rounds}: {name}: {costs} µs", file=sys.stderr, flush=True)
    return Compared((str(base), str(changed)), samples)


@contextmanager
def _starting(bench: Bench, tree: Path, name: str) -> Iterator[Callable[[], "_Side"]]:
    """A tree's cluster, which starts meanwhile; what is yielded waits for it."""
    cluster, directory = f"bench-compare-{name}", bench.directory()
    log = bench.build / f"{cluster}.log"
    python = tree / ".venv" / "bin" / "python"
    command = [str(python) if python.exists() else sys.executable, "-P", compare_side.__file__, cluster]
    path = f"{tree}:{tree / 'protos' / 'gen'}"
    environment = {MARK: cluster, "PYTHONPATH": path, "CLIPPER_HOME": str(directory)}
    with Process(cluster, command, environment, log, directory=tree) as process:

        def side() -> _Side:
            process.wait_until(lambda: process.has_logged(READY), f"the start of {tree}", _START_S)
            return _Side(cluster, bench)

        try:
            yield side
        finally:
            process.end(_END_S)


class _Side:
    """One tree's cluster, and the lanes to measure it in."""

    def __init__(self, mark: str, bench: Bench) -> None:
        self._mark = mark
        self._directory = bench.directory
        (self._query,) = found_query_services(mark)

    def lanes(self) -> dict[str, Lane]:
        """Those of a model, and one of four models that are chosen from and learned about."""
        one, bandit = self._server(MODEL, [MODEL]), self._server(BANDIT, ARMS)
        learning = FeedbackLoad(bandit.address, BANDIT, _LEARNING)
        return {
            "native, 64 in flight": one.native(64),
            "64 vectors a call, 16 in flight": one.native(16, 64),
            "PredictStream of 256, 2 at a time": one.stream(2, 256),
            "one at a time": one.native(1),
            "exp3, with feedback": replace(bandit.native(1), generator=learning),
        }

    def _server(self, application: str, models: Sequence[str]) -> Server:
        pids = {SERVER: self._query.pids, CONTAINER: pids_of_containers(self._mark, models)}
        meter = Meter(counters.reader(self._query.metrics, application, models[0]), pids)
        return Server(self._query.address, application, meter, self._directory)


def _pair(lane_pair: Sequence[Lane], seconds: float, *, swapped: bool) -> list[Sample]:
    """Both samples, of which one is measured right after the other."""
    if swapped:
        return _pair(lane_pair[::-1], seconds, swapped=False)[::-1]
    return [lanes.measure(lane, seconds) for lane in lane_pair]
