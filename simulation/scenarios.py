"""Scenarios in which batching policies are compared: the same clients and replicas, under each policy."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from services.common.names import ADAPTIVE_BATCH_SIZE
from simulation.loads import Arrivals, Load, gamma, on_off, poisson
from simulation.replicas import ServiceTime
from simulation.report import Report
from simulation.simulator import Simulator

POLICIES = ("fixed", "aimd", "quantile", "adaptive")


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
        return simulator.run()

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
        simulator.offer(Load(model, self.arrivals, self.seconds))

    def _plan_slowdown(self, simulator: Simulator, key: str) -> None:
        if self.slowdown != 1.0:
            simulator.at(self.seconds / 2, partial(simulator.change_speed, key, self.service_time.slowed(self.slowdown)))

    def _plan_crashes(self, simulator: Simulator, model: str) -> None:
        turns = int(self.seconds / self.crash_every_s) if self.crash_every_s else 0
        for turn in range(1, turns):
            key = f"{model}:1:{turn % self.replicas}"
            crash: Callable[[], None] = partial(simulator.crash_replica, key, self.crash_every_s / 10)
            simulator.at(turn * self.crash_every_s, crash)
