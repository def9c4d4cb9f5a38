"""The clients of one load: they ask, and sometimes leave before they are answered."""

from __future__ import annotations

import itertools
import math
from random import Random
from typing import TYPE_CHECKING

import numpy as np

from services.common.records import version_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.query.engine.versions import Route, Version
    from simulation.loads import Load
    from simulation.simulator import Simulator


class Clients:
    """Asks as a load says.

    Chance is their own, so that equal loads ask for the same at the same times whatever becomes of it.

    Args:
        simulator: where they live.
        load: what they do.
        seed: decides what and when.
    """

    def __init__(self, simulator: Simulator, load: Load, seed: int) -> None:
        self._simulator = simulator
        self._load = load
        self._random = Random(seed)
        self._gaps = load.arrivals(np.random.default_rng(seed))
        # Nobody else asks for the same by chance, only where there is little to choose from.
        self._numbers = itertools.count(0 if load.distinct_inputs < math.inf else seed << 32)

    def start(self) -> None:
        """Waits for the first request."""
        self._await_next(self._arrive)

    def _await_next(self, arrive: Callable[[], None]) -> None:
        arrival_s = self._simulator.now_s + next(self._gaps)
        if arrival_s < self._load.until_s:
            self._simulator.at(arrival_s, arrive)

    def _arrive(self) -> None:
        self._await_next(self._arrive)
        simulator, load = self._simulator, self._load
        route = simulator.engine.routes.get(load.application)
        if route is None:
            return
        deadline_s = simulator.now_s + min(route.slo_s, load.patience_s)
        context = str(self._random.randrange(load.contexts)) if load.contexts else ""
        request = simulator.ask(route, self._version(route), self._inputs(), deadline_s, context)
        if load.cancelled and self._random.random() < load.cancelled:
            simulator.after(self._random.uniform(0.0, route.slo_s), lambda: simulator.leave(request))

    def _version(self, route: Route) -> Version | None:
        if self._load.version is None:
            return route.version
        return self._simulator.engine.versions.get(version_key(route.application.linked_models[0], self._load.version))

    def _inputs(self) -> list[bytes]:
        most = self._load.most_inputs
        return [self._input() for _ in range(1 if most == 1 else self._random.randint(1, most))]

    def _input(self) -> bytes:
        load = self._load
        number = next(self._numbers)
        if number >= load.distinct_inputs < math.inf:
            number = self._random.randrange(int(load.distinct_inputs))
        is_bad = load.bad_inputs and self._random.random() < load.bad_inputs
        return (b"bad %d" if is_bad else b"good %d") % number
