"""Scenarios in which batching policies are compared: the same clients and replicas, under each policy."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from services.common.names import ADAPTIVE_BATCH_SIZE
from simulation import rules
from simulation.loads import Arrivals, Load, diurnal, flash, gamma, on_off, poisson
from simulation.oracle import Floats, fluid_bound, most_in_time
from simulation.replicas import ServiceTime
from simulation.report import Report
from simulation.simulator import Simulator

POLICIES = ("fixed", "aimd", "quantile", "adaptive")
# Told how fast replicas are, which a policy has to learn.
HALF_OBJECTIVE = "half of the objective"

# What is learnt in this time does not count; it is the same load, asked for by applications of their own.
_WARM_UP_S = 0.5
_WARM_UP = "warm-up "
_MAIN = "main"


class Tenant(NamedTuple):
    """A further application of each model.

    Attributes:
        arrivals: of its requests.
        slo_s: its latency objective.
        priority: its class.
    """

    arrivals: Arrivals
    slo_s: float
    priority: str = "normal"


class Pace(NamedTuple):
    """How fast a replica of each model is from some time on.

    Attributes:
        replica_id: which.
        factor: its batches take so many times as long.
        share: when, as a share of the time in which clients ask and count.
    """

    replica_id: int
    factor: float
    share: float = 0.0


@dataclass(frozen=True)
class Scenario:
    """Equal models, each with applications of its own.

    Attributes:
        title: what is particular about it.
        arrivals: of the requests of each model's first application.
        service_time: of each replica.
        slo_s: its latency objective.
        seconds: how long clients ask.
        models, replicas: how many models there are, and replicas of each.
        priority: of the first application.
        beside: the further applications, by name.
        paces: which replicas are slower or faster, and when.
        crash_every_s: one replica of each model dies so often, in turn, for a tenth of that; 0: none does.
        pause_every_s, pause_s: each replica does nothing so often and for so long; 0: none does.
    """

    title: str
    arrivals: Arrivals
    service_time: ServiceTime
    slo_s: float = 0.1
    seconds: float = 6.0
    models: int = 1
    replicas: int = 2
    priority: str = "normal"
    beside: Mapping[str, Tenant] = field(default_factory=dict)
    paces: Sequence[Pace] = ()
    crash_every_s: float = 0.0
    pause_every_s: float = 0.0
    pause_s: float = 0.0

    def run(self, policy: str, seed: int = 1) -> Report:
        """What becomes of the queries under a policy, or a rule."""
        simulator = Simulator(seed)
        for number in range(self.models):
            self._add_model(simulator, f"m{number}", policy)
        report = simulator.run()
        for application in list(report.scores):
            if application.startswith(_WARM_UP):
                del report.scores[application]
        return report

    def lasting(self, queries: int) -> Self:
        """The same for as long as it takes for about so many queries, if that is shorter."""
        arrivals = [self.arrivals, *(tenant.arrivals for tenant in self.beside.values())]
        rate = self.models * sum(_mean_rate(each) for each in arrivals)
        return replace(self, seconds=min(self.seconds, queries / rate))

    def fixed_size(self) -> int:
        """What a careful person would choose who has measured the model: batches of a third of the objective."""
        return max(1, int((self.slo_s / 3 - self.service_time.fixed_s) / self.service_time.per_input_s))

    def best(self, report: Report) -> int:
        """How many of a run's queries could have been answered in time, or more than that.

        Exact, but for chance, where one replica serves applications with one objective.
        """
        if self.replicas == self.models == 1 and len({tenant.slo_s for tenant in self._tenants.values()}) == 1:
            largest = max(1, self._largest(self.slo_s, min(pace.factor for pace in (*self.paces, Pace(0, 1.0)))))
            return most_in_time(np.sort(report.total.arrivals_s), self.slo_s, self._done_s, largest)
        return sum(self._bound(report, f"m{number}") for number in range(self.models))

    @property
    def _tenants(self) -> dict[str, Tenant]:
        """The applications of each model, by what their names begin with."""
        return {_MAIN: Tenant(self.arrivals, self.slo_s, self.priority), **self.beside}

    @property
    def _ends_s(self) -> float:
        return _WARM_UP_S + self.seconds

    def _add_model(self, simulator: Simulator, model: str, policy: str) -> None:
        for name, (arrivals, slo_s, priority) in self._tenants.items():
            for begin, from_s, until_s in (("", _WARM_UP_S, self._ends_s), (_WARM_UP, 0.0, _WARM_UP_S)):
                application = f"{begin}{name}-{model}"
                simulator.add_application(application, model, slo_s, priority=priority)
                simulator.at(from_s, partial(simulator.offer, Load(application, arrivals, until_s)))
        batch_size = self.fixed_size() if policy == "fixed" else ADAPTIVE_BATCH_SIZE
        simulator.add_version(model, "1", batch_size=batch_size, policy=policy if policy in POLICIES else "")
        for replica_id in range(self.replicas):
            rule = rules.half_objective(self.service_time, self.slo_s) if policy == HALF_OBJECTIVE else None
            simulator.add_replica(model, "1", replica_id, self.service_time, rule=rule)
            self._plan_pauses(simulator, f"{model}:1:{replica_id}")
        self._plan_paces(simulator, model)
        self._plan_crashes(simulator, model)

    def _plan_paces(self, simulator: Simulator, model: str) -> None:
        for pace in self.paces:
            service_time = self.service_time.slowed(pace.factor)
            change: Callable[[], None] = partial(simulator.change_speed, f"{model}:1:{pace.replica_id}", service_time)
            simulator.at(self._begins_s(pace), change)

    def _plan_crashes(self, simulator: Simulator, model: str) -> None:
        turns = int(self.seconds / self.crash_every_s) if self.crash_every_s else 0
        for turn in range(1, turns):
            key = f"{model}:1:{turn % self.replicas}"
            crash: Callable[[], None] = partial(simulator.crash_replica, key, self.crash_every_s / 10)
            simulator.at(_WARM_UP_S + turn * self.crash_every_s, crash)

    def _plan_pauses(self, simulator: Simulator, key: str) -> None:
        turns = int(self._ends_s / self.pause_every_s) if self.pause_every_s else 0
        for turn in range(1, turns):
            simulator.at(turn * self.pause_every_s, partial(simulator.freeze_replica, key, self.pause_s))

    def _begins_s(self, pace: Pace) -> float:
        return _WARM_UP_S + pace.share * self.seconds

    def _steps(self, replica_id: int) -> list[tuple[float, float]]:
        """From when on batches of a replica take so many times as long."""
        changes = [(self._begins_s(pace), pace.factor) for pace in self.paces if pace.replica_id == replica_id]
        return [(0.0, 1.0), *sorted(changes)]

    def _done_s(self, begin_s: Floats, sizes: NDArray[np.int64]) -> Floats:
        """When batches of the first replica are done, for who may wait until it is faster."""
        took_s = (self.service_time.fixed_s + sizes * self.service_time.per_input_s) * self.service_time.mean_factor
        steps = self._steps(0)
        done_s = np.full(np.broadcast_shapes(begin_s.shape, took_s.shape), math.inf)
        for (from_s, factor), (until_s, _) in itertools.pairwise([*steps, (math.inf, 1.0)]):
            from_here_s = np.maximum(begin_s, from_s) + took_s * factor
            done_s = np.where(begin_s < until_s, np.minimum(done_s, from_here_s), done_s)
        if self.pause_every_s:
            turn = np.floor(done_s / self.pause_every_s)
            is_paused = (turn >= 1) & (done_s - turn * self.pause_every_s < self.pause_s)
            done_s = np.where(is_paused, turn * self.pause_every_s + self.pause_s, done_s)
        return done_s

    def _bound(self, report: Report, model: str) -> int:
        """More queries of a model than that cannot be answered in time."""
        arrivals_s, due_s = [], []
        for name, tenant in self._tenants.items():
            if not self._largest(tenant.slo_s, min(pace.factor for pace in (*self.paces, Pace(0, 1.0)))):
                continue
            came_s = np.array(report.of(f"{name}-{model}").arrivals_s)
            arrivals_s.append(came_s)
            due_s.append(came_s + tenant.slo_s)
        widest_s = max(tenant.slo_s for tenant in self._tenants.values())
        return fluid_bound(np.concatenate(arrivals_s), np.concatenate(due_s), partial(self._served, widest_s))

    def _served(self, budget_s: float, until_s: Floats) -> Floats:
        """How many inputs all replicas together can serve until each of some times, in batches within a budget."""
        served = np.zeros_like(until_s)
        for replica_id in range(self.replicas):
            for (from_s, factor), (to_s, _) in itertools.pairwise([*self._steps(replica_id), (math.inf, 1.0)]):
                size = self._largest(budget_s, factor)
                rate = size / (self.service_time.mean_s(max(1, size)) * factor * self.service_time.mean_factor)
                served += np.clip(until_s - from_s, 0.0, to_s - from_s) * rate
        return served

    def _largest(self, budget_s: float, factor: float) -> int:
        """The largest batch within a budget, where batches take `factor` times as long."""
        mean_s = budget_s / (factor * self.service_time.mean_factor)
        return max(0, int((mean_s - self.service_time.fixed_s) / self.service_time.per_input_s))


def _mean_rate(arrivals: Arrivals) -> float:
    """Requests a second."""
    return 10_000 / sum(itertools.islice(arrivals(np.random.default_rng(1)), 10_000))


# In batches of half of their objective, one replica does 9,800, 800 and 1,900 a second.
_CHEAP = ServiceTime(fixed_s=0.001, per_input_s=0.0001)
_TIGHT = ServiceTime(fixed_s=0.002, per_input_s=0.001)
_STRAGGLING = ServiceTime(fixed_s=0.002, per_input_s=0.0005, stragglers=0.01)

SCENARIOS = (
    Scenario("Half of the capacity, Poisson", poisson(9_800), _CHEAP, seconds=4),
    Scenario("Bursts: gaps of CV 4", gamma(4_500), _TIGHT, slo_s=0.02, replicas=8, seconds=8),
    Scenario("Bursts: crowds that come and go", on_off(13_000, on_s=0.15, off_s=0.15), _CHEAP, seconds=4),
    Scenario("Bursts: one replica, gaps of CV 4", gamma(500), _TIGHT, slo_s=0.02, replicas=1, seconds=60),
    Scenario("Twice the capacity, Poisson", poisson(39_200), _CHEAP, seconds=2),
    Scenario("One batch in a hundred takes ten times as long", poisson(2_000), _STRAGGLING, seconds=20),
    Scenario(
        "Replicas become half as fast", poisson(7_800), _CHEAP, paces=(Pace(0, 2, 0.5), Pace(1, 2, 0.5)), seconds=6
    ),
    Scenario(
        "A replica dies each half second", poisson(3_000), _TIGHT, slo_s=0.1, replicas=8, crash_every_s=0.5, seconds=12
    ),
    Scenario(
        "A fleet: 100 models, 300 replicas", gamma(700), ServiceTime(0.01, 0.002), models=100, replicas=3, seconds=3
    ),
)

# One replica, whose largest batches within 100 ms serve 1,900 a second.
_ONE = ServiceTime(fixed_s=0.005, per_input_s=0.0005)
_COSTLY = ServiceTime(fixed_s=0.02, per_input_s=0.0002, noise=0.03)
_BIMODAL = replace(_ONE, stragglers=0.2, straggler_factor=3.0)
_alone = partial(Scenario, replicas=1, seconds=3)
_few = partial(Scenario, replicas=3, seconds=2)

REAL_LIFE = (
    _alone("Near the capacity", poisson(1_450), _ONE),
    _alone("Near the capacity, a large cost for each batch", poisson(2_400), _COSTLY, seconds=2),
    _alone("Twice the capacity", poisson(3_000), _ONE, seconds=2),
    _alone("Gaps of CV 4", gamma(1_100), _ONE),
    _alone("Days and nights", diurnal(1_000, day_s=1.5), _ONE),
    _alone("Eight times as many for a while", flash(500, every_s=1.0, lasting_s=0.2), _ONE),
    _alone("Lognormal times", poisson(1_000), replace(_ONE, noise=0.5)),
    _alone("Pareto times", poisson(1_000), replace(_ONE, tail=2.5)),
    _alone("One batch in five takes three times as long", poisson(800), _BIMODAL),
    _alone(
        "A replica that becomes slower", poisson(1_000), _ONE, paces=[Pace(0, 1 + n / 5, n / 5) for n in (1, 2, 3, 4)]
    ),
    _alone("A cold replica", poisson(1_000), _ONE, paces=(Pace(0, 8), Pace(0, 1, 0.1))),
    _alone("Garbage is collected", poisson(1_000), _ONE, pause_every_s=0.5, pause_s=0.05),
    _alone("An objective near the fixed cost", poisson(600), replace(_ONE, fixed_s=0.008), slo_s=0.03),
    _alone("Two objectives", poisson(600), _ONE, slo_s=0.03, beside={"wide": Tenant(poisson(600), 0.5)}),
    _alone(
        "Three objectives",
        poisson(400),
        _ONE,
        slo_s=0.03,
        beside={"medium": Tenant(poisson(400), 0.1), "wide": Tenant(poisson(400), 0.5)},
    ),
    _alone("An impossible objective", poisson(1_200), _ONE, beside={"impossible": Tenant(poisson(100), 0.004)}),
    _alone(
        "Two classes of priority",
        poisson(800),
        _ONE,
        priority="high",
        beside={"low": Tenant(poisson(1_200), 0.1, "low")},
    ),
    _few("One of three replicas is four times as slow", poisson(2_600), _ONE, paces=(Pace(0, 4),)),
    _few(
        "One of three becomes slower", poisson(2_600), _ONE, paces=[Pace(0, 1 + 3 * at, at) for at in (0.25, 0.5, 0.75)]
    ),
    _few("One of three is cold", poisson(3_000), _ONE, paces=(Pace(0, 10), Pace(0, 1, 0.3))),
    _few("Three collect garbage", poisson(3_000), _ONE, pause_every_s=0.5, pause_s=0.05),
)
