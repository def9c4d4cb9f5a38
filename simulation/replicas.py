"""Replicas in virtual time: how long a batch takes, what a model answers, what crashes and freezes do to it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING

from services.query.engine.versions import Batch, Replica

if TYPE_CHECKING:
    from simulation.simulator import Simulator


@dataclass(frozen=True)
class ServiceTime:
    """How long a replica is busy with a batch of n inputs: `fixed_s` + n * `per_input_s`, times noise.

    Attributes:
        fixed_s, per_input_s: seconds.
        noise: the standard deviation of the noise's logarithm.
        stragglers: the share of batches that take `straggler_factor` times as long.
        tail: the shape of a Pareto distribution, with a mean of 1, that the times are multiplied with; infinity: none.
    """

    fixed_s: float = 0.001
    per_input_s: float = 0.0001
    noise: float = 0.1
    stragglers: float = 0.0
    straggler_factor: float = 10.0
    tail: float = math.inf

    def slowed(self, factor: float) -> ServiceTime:
        """One that takes `factor` times as long."""
        return replace(self, fixed_s=self.fixed_s * factor, per_input_s=self.per_input_s * factor)

    def mean_s(self, size: int) -> float:
        """The time that a batch of `size` inputs takes but for noise and stragglers."""
        return self.fixed_s + size * self.per_input_s

    @property
    def mean_factor(self) -> float:
        """What noise and stragglers make of it on average."""
        return math.exp(self.noise**2 / 2) * (1.0 + self.stragglers * (self.straggler_factor - 1.0))

    def draw_s(self, seeded: Random, size: int) -> float:
        """The time that a batch of `size` inputs takes."""
        took_s = self.mean_s(size) * seeded.lognormvariate(0.0, self.noise)
        if self.tail < math.inf:
            took_s *= seeded.paretovariate(self.tail) * (1.0 - 1.0 / self.tail)
        return took_s * self.straggler_factor if self.stragglers and seeded.random() < self.stragglers else took_s


class SimulatedReplica:
    """A container that computes one batch after the other, and may be killed and come back, or freeze and thaw.

    Args:
        simulator: where it lives.
        engine_replica: what the engine knows of it.
        image: what it was started from, which decides what it answers.
        service_time: how fast it is; may be changed at any time.
    """

    def __init__(self, simulator: Simulator, engine_replica: Replica, image: str, service_time: ServiceTime) -> None:
        self.engine_replica = engine_replica
        self.service_time = service_time
        self.up = True
        self._simulator = simulator
        self._image = image
        self._waiting: deque[Batch] = deque()
        self._frozen = False
        self._late: list[Callable[[], None]] = []
        # Grows with every crash, so that what was computing before it comes to nothing.
        self._life = 0

    def receive(self, batch: Batch) -> None:
        """Takes a batch; one that meets a dead replica is lost."""
        if self.up:
            self._waiting.append(batch)
            if len(self._waiting) == 1:
                self._compute()

    def crash(self) -> None:
        """Dies with all that it has."""
        self.up = False
        self._life += 1
        self._waiting.clear()
        self._frozen = False
        self._late.clear()

    def freeze(self) -> None:
        """Does nothing more; its connection stays."""
        self._frozen = True

    def thaw(self) -> None:
        """Goes on where it was."""
        self._frozen = False
        late, self._late = self._late, []
        for answer in late:
            answer()

    def _compute(self) -> None:
        life, batch = self._life, self._waiting[0]
        took_s = self.service_time.draw_s(self._simulator.random, len(batch.tasks))
        self._simulator.after(took_s, lambda: self._answer(life, batch, took_s))

    def _answer(self, life: int, batch: Batch, took_s: float) -> None:
        if life != self._life:
            return
        if self._frozen:
            self._late.append(lambda: self._answer(life, batch, took_s))
            return
        self._waiting.popleft()
        if self._waiting:
            self._compute()
        outputs, failures = evaluate(self._image, [task.input for task in batch.tasks])
        self._simulator.answer(self.engine_replica, batch.batch_id, outputs, failures, took_s)


def evaluate(image: str, inputs: Sequence[bytes]) -> tuple[list[str], Mapping[int, str]]:
    """What a model answers: outputs that are functions of its image and of the input alone, and failures."""
    outputs = [output(image, data) for data in inputs]
    failures = {place: failure(data) for place, data in enumerate(inputs) if data.startswith(b"bad")}
    for place in failures:
        outputs[place] = ""
    return outputs, failures


def output(image: str, data: bytes) -> str:
    """The output of a model for a good input."""
    return f"{image} of {data.decode()}"


def failure(data: bytes) -> str:
    """The message of every model for a bad input."""
    return f"ValueError: {data.decode()}"
