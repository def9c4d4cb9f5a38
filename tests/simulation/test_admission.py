"""The query service's own processor as the limit: what is asked beyond it costs little of what it could do.

The referee fails a run in which anything is answered more than 5 ms after its deadline.
"""

import random
from collections.abc import Callable
from typing import Any

import pytest

from services.query.engine.admission import Admission
from services.query.engine.requests import DefaultReason
from simulation.front import Call, Costs, FrontSimulator
from simulation.replicas import ServiceTime
from simulation.report import Report, Score

_INPUTS = 64
# About what bench/slo found for 784 doubles an input. What is given up costs a twentieth of a prediction.
_COSTS = Costs(
    take_s=40e-6, let_in_s=60e-6, let_in_input_s=10e-6, answer_s=50e-6, answer_input_s=10e-6, give_up_s=25e-6
)
_CAPACITY = _COSTS.capacity(_INPUTS)
_FREE = ServiceTime(fixed_s=0.0005, per_input_s=1e-6)
_BEGINS_S = 0.1
_SECONDS = 1.5

every_objective = pytest.mark.parametrize("slo_s", [0.02, 0.1])


class World:
    """Applications on one model that costs nothing, and their clients."""

    def __init__(self, seed: int = 1) -> None:
        self.simulator = FrontSimulator(seed, _COSTS, Admission[Call](100_000, 256 << 20))
        self._random = random.Random(seed)

    def add(self, name: str, slo_s: float, **attributes: Any) -> None:
        """Adds an application."""
        self.simulator.add_application(name, "m", slo_s, **attributes)

    def ask(self, name: str, times: float, *, begins_s: float = _BEGINS_S, ends_s: float = _SECONDS) -> None:
        """Has clients ask at random times for so many capacities, whatever comes back."""
        at_s = begins_s
        while (at_s := at_s + self._random.expovariate(times * _CAPACITY / _INPUTS)) < ends_s:
            self.simulator.at(at_s, self._calling(name))

    def keep_outstanding(self, name: str, calls: int) -> None:
        """Has clients ask again whenever they are answered."""

        def again() -> None:
            if self.simulator.now_s < _SECONDS:
                self.simulator.after(50e-6, lambda: self.simulator.call(name, _INPUTS, again))

        for number in range(calls):
            self.simulator.at(_BEGINS_S + number * 1e-4, again)

    def run(self) -> Report:
        """What becomes of all calls."""
        self.simulator.add_version("m", "1")
        self.simulator.add_replica("m", "1", 0, _FREE)
        return self.simulator.run()

    def _calling(self, name: str) -> Callable[[], None]:
        return lambda: self.simulator.call(name, _INPUTS)


def _one(slo_s: float) -> World:
    world = World()
    world.add("app", slo_s)
    return world


def _at(times: float, slo_s: float) -> Score:
    world = _one(slo_s)
    world.ask("app", times)
    return world.run().of("app")


@every_objective
@pytest.mark.parametrize(("times", "least"), [(1.0, 0.85), (1.2, 0.95), (1.5, 0.95), (2.0, 0.9), (4.0, 0.8)])
def test_beyond_the_capacity_most_of_it_is_still_predicted_in_time(slo_s: float, times: float, least: float) -> None:
    score = _at(times, slo_s)
    assert score.goodput > least * _CAPACITY
    assert score.defaults[DefaultReason.FRONT_OVERLOADED] > 0.95 * score.defaults.total()


@every_objective
def test_at_half_of_the_capacity_nobody_is_given_up(slo_s: float) -> None:
    assert _at(0.5, slo_s).attainment == 1.0


@pytest.mark.parametrize(("slo_s", "calls"), [(0.02, 16), (0.1, 16), (0.1, 64)])
def test_clients_that_ask_again_whenever_they_are_answered_take_no_more_than_a_tenth(slo_s: float, calls: int) -> None:
    world = _one(slo_s)
    world.keep_outstanding("app", calls)
    assert world.run().of("app").goodput > 0.9 * _CAPACITY


@every_objective
def test_who_is_turned_away_hears_so_near_its_deadline(slo_s: float) -> None:
    world = _one(slo_s)
    world.ask("app", 4.0)
    assert sorted(world.run().of("app").latencies_s)[-1000] > 0.7 * slo_s


def test_a_crowd_that_has_gone_leaves_nothing_behind() -> None:
    world = _one(0.1)
    world.add("later", 0.1)
    world.ask("app", 4.0, ends_s=0.8)
    world.ask("later", 0.5, begins_s=0.9)
    assert world.run().of("later").attainment == 1.0


def test_low_priority_goes_first() -> None:
    world = World()
    for priority in ("high", "low"):
        world.add(priority, 0.1, priority=priority)
        world.ask(priority, 0.75)
    report = world.run()
    assert report.of("high").attainment > 0.999
    assert 0.2 < report.of("low").attainment < 0.4


def test_a_flood_leaves_its_neighbours_objective_intact() -> None:
    world = World()
    world.add("flood", 0.1)
    world.add("calm", 0.1)
    world.ask("flood", 4.0)
    world.ask("calm", 0.25)
    report = world.run()
    assert report.of("calm").attainment > 0.99
    assert report.total.goodput > 0.75 * _CAPACITY
