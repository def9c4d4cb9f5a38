"""Applications that share a model: shares, priorities, and one's flood beside another's calm."""

import pytest

from simulation.loads import Arrivals, Load, gamma, on_off, poisson
from simulation.replicas import ServiceTime
from simulation.report import Report
from simulation.simulator import Simulator

_SLO_S = 0.1
# In batches of two fifths of the objective, those of the default policy, one replica does about this many a second.
_SERVICE_TIME = ServiceTime(fixed_s=0.002, per_input_s=0.0005)
_CAPACITY = 1_850

every_seed = pytest.mark.parametrize("seed", range(2))


class Tenants:
    """Applications on one replica of one model."""

    def __init__(self, seed: int, slo_s: float = _SLO_S) -> None:
        self._simulator = Simulator(seed)
        self._slo_s = slo_s

    def add(
        self, name: str, arrivals: Arrivals, *, share: float = 1.0, priority: str = "normal", seconds: float = 3.0
    ) -> None:
        """Adds an application and its clients."""
        self._simulator.add_application(name, "m", self._slo_s, share=share, priority=priority)
        self._simulator.offer(Load(name, arrivals, until_s=seconds))

    def run(self) -> Report:
        """Lets them ask, once the replica is there."""
        self._simulator.add_version("m", "1")
        self._simulator.add_replica("m", "1", 0, _SERVICE_TIME)
        return self._simulator.run()


@every_seed
def test_a_flood_of_ten_times_its_share_leaves_its_neighbours_objective_intact(seed: int) -> None:
    tenants = Tenants(seed)
    tenants.add("flood", poisson(10 * _CAPACITY / 2))
    tenants.add("calm", poisson(_CAPACITY / 4))
    report = tenants.run()
    assert report.of("calm").attainment > 0.999
    assert report.total.goodput > 0.9 * _CAPACITY


@every_seed
def test_floods_that_come_and_go_leave_their_neighbours_objective_intact_from_the_first_moment_on(seed: int) -> None:
    tenants = Tenants(seed)
    tenants.add("floods", on_off(10 * _CAPACITY / 2), seconds=10.0)
    tenants.add("calm", poisson(_CAPACITY / 4), seconds=10.0)
    assert tenants.run().of("calm").attainment == 1.0


@every_seed
def test_a_flood_costs_a_bursty_neighbour_no_more_than_what_exceeds_its_share_for_a_moment(seed: int) -> None:
    tenants = Tenants(seed)
    tenants.add("flood", poisson(10 * _CAPACITY / 2))
    tenants.add("bursty", gamma(_CAPACITY / 8))
    assert tenants.run().of("bursty").attainment > 0.95


@every_seed
def test_two_floods_get_what_their_shares_say(seed: int) -> None:
    tenants = Tenants(seed)
    tenants.add("three", poisson(2 * _CAPACITY), share=3.0)
    tenants.add("one", poisson(2 * _CAPACITY))
    report = tenants.run()
    assert report.of("three").predicted / report.of("one").predicted == pytest.approx(3.0, rel=0.15)


@every_seed
def test_a_share_that_is_not_used_falls_to_the_others(seed: int) -> None:
    tenants = Tenants(seed)
    tenants.add("large but idle", poisson(10), share=9.0)
    tenants.add("small but busy", poisson(0.8 * _CAPACITY))
    report = tenants.run()
    assert report.total.attainment > 0.99


@every_seed
def test_a_higher_class_of_priority_is_served_as_if_it_were_alone(seed: int) -> None:
    tenants = Tenants(seed)
    tenants.add("high", poisson(0.7 * _CAPACITY), priority="high")
    tenants.add("normal", poisson(2 * _CAPACITY))
    tenants.add("low", poisson(2 * _CAPACITY), priority="low")
    report = tenants.run()
    assert report.of("high").attainment > 0.999
    assert report.of("normal").predicted > 5 * report.of("low").predicted
