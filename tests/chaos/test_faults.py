"""Each part of a cluster under traffic is killed and frozen: who is told what, and for how long."""

import pytest

from tests.chaos.faults import CHANGES, FREEZES, KILLS, WORKERS, Fault
from tests.chaos.observations import Observation, observe
from tests.chaos.scenes import Scene


def _name(fault: Fault) -> str:
    return fault.name


@pytest.mark.parametrize("fault", [*KILLS, *FREEZES, *CHANGES], ids=_name)
def test_a_fault_costs_no_more_than_it_must(pair: Scene, fault: Fault, table: list[Observation]) -> None:
    table.append(observe(pair, fault))
    assert table[-1].misses() == []


@pytest.mark.parametrize("fault", WORKERS, ids=_name)
def test_so_does_one_of_a_process_of_several(pair_of_pairs: Scene, fault: Fault, table: list[Observation]) -> None:
    table.append(observe(pair_of_pairs, fault))
    assert table[-1].misses() == []
