"""Each part of a cluster under traffic is killed and frozen: who is told what, and for how long."""

import pytest

from tests.chaos.faults import CHANGES, FREEZES, KILLS, Fault
from tests.chaos.observations import Observation, observe
from tests.chaos.scenes import Scene


@pytest.mark.parametrize("fault", [*KILLS, *FREEZES, *CHANGES], ids=str)
def test_a_fault_costs_no_more_than_it_must(pair: Scene, fault: Fault, table: list[Observation]) -> None:
    table.append(observe(pair, fault))
    assert table[-1].misses() == []
