"""Scenarios in which batching policies are compared: the same clients and replicas, under each policy."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Self

import numpy as np

from services.common.names import ADAPTIVE_BATCH_SIZE
from simulation.loads import Arrivals, Load, gamma, on_off, poisson
from simulation.replicas import ServiceTime
from simulation.report import Report
from simulation.simulator import Simulator

POLICIES = ("fixed", "aimd", "quantile", "adaptive")

# What is learnt in this time does not count; it is the same load, asked for by an application of its own.
_WARM_UP_S = 0.5
_WARM_UP = "warm-up"


@dataclass(frozen=True)
class Scenario:
    """Equal models, each with an application of its own.

    Attributes:
        title: what is particular about it.
        arrivals: of the requests of each application.
        service_time: of each replica.
        slo_s: the applications' latency objective.
        seconds: how long clients ask.
        models, replicas: how many models there are, and replicas of each.
        slowdown: by how much every replica becomes slower halfway.
        crash_every_s: one replica of each model dies so often, in turn, for a tenth of that; 0: none does.
    """

    title: str
    arrivals: Arrivals
    service_time: ServiceTime
    slo_s: float = 0.1
    seconds: float = 6.0
    models: int = 1
    replicas: int = 2
    slowdown: float = 1.0
    crash_every_s: float = 0.0

    def run(self, policy: str, seed: int = 1) -> Report:
        """What becomes of the queries under a policy."""
        simulator = Simulator(seed)
        for number in range(self.models):
            self._add_model(simulator, f"m{number}", policy)
        report = simulator.run()
        for number in range(self.models):
            del report.scores[f"{_WARM_UP}-m{number}"]
        return report

    def lasting(self, queries: int) -> Self:
        """The same for as long as it takes for about so many queries, if that is shorter."""
        rate = 1.0 / sum(itertools.islice(self.arrivals(np.random.default_rng(1)), 10_000)) * 10_000 * self.models
        return replace(self, seconds=min(self.seconds, queries / rate))

    def fixed_size(self) -> int:
        """What a careful person would choose who has measured the model: batches of a third of the objective."""
        return max(1, int((self.slo_s / 3 - self.service_time.fixed_s) / self.service_time.per_input_s))

    def _add_model(self, simulator: Simulator, model: str, policy: str) -> None:
        simulator.add_application(model, model, self.slo_s)
        batch_size = self.fixed_size() if policy == "fixed" else ADAPTIVE_BATCH_SIZE
        simulator.add_version(model, "1", batch_size=batch_size, policy=policy)
        for replica_id in range(self.replicas):
            simulator.add_replica(model, "1", replica_id, self.service_time)
            self._plan_slowdown(simulator, f"{model}:1:{replica_id}")
        self._plan_crashes(simulator, model)
        simulator.add_application(f"{_WARM_UP}-{model}", model, self.slo_s)
        simulator.offer(Load(f"{_WARM_UP}-{model}", self.arrivals, _WARM_UP_S))
        ends_s = _WARM_UP_S + self.seconds
        simulator.at(_WARM_UP_S, partial(simulator.offer, Load(model, self.arrivals, ends_s)))

    def _plan_slowdown(self, simulator: Simulator, key: str) -> None:
        if self.slowdown != 1.0:
            simulator.at(
                _WARM_UP_S + self.seconds / 2,
                partial(simulator.change_speed, key, self.service_time.slowed(self.slowdown)),
            )

    def _plan_crashes(self, simulator: Simulator, model: str) -> None:
        turns = int(self.seconds / self.crash_every_s) if self.crash_every_s else 0
        for turn in range(1, turns):
            key = f"{model}:1:{turn % self.replicas}"
            crash: Callable[[], None] = partial(simulator.crash_replica, key, self.crash_every_s / 10)
            simulator.at(_WARM_UP_S + turn * self.crash_every_s, crash)


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
    Scenario("Replicas become half as fast", poisson(7_800), _CHEAP, slowdown=2.0, seconds=6),
    Scenario(
        "A replica dies each half second", poisson(3_000), _TIGHT, slo_s=0.1, replicas=8, crash_every_s=0.5, seconds=12
    ),
    Scenario(
        "A fleet: 100 models, 300 replicas", gamma(700), ServiceTime(0.01, 0.002), models=100, replicas=3, seconds=3
    ),
)
