"""The same for query services of several processes, on a cluster of their own."""

import pytest

from tests.chaos.faults import WORKERS, Fault
from tests.chaos.observations import Observation, observe
from tests.chaos.scenes import Scene


@pytest.mark.parametrize("fault", WORKERS, ids=str)
def test_a_fault_costs_no_more_than_it_must(pair_of_pairs: Scene, fault: Fault, table: list[Observation]) -> None:
    table.append(observe(pair_of_pairs, fault))
    assert table[-1].misses() == []
