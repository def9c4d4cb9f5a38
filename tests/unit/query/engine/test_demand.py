"""What is known of the demand for a model version."""

import dataclasses

import pytest

from services.query.engine.demand import Demand
from tests.fixtures.queues import APPLICATION


def _asked(demand: Demand, per_s: int, from_s: float, until_s: float) -> None:
    """So many inputs a second of one application, looked at each 5 ms."""
    for step in range(round((until_s - from_s) / 0.005)):
        demand.count += round(per_s * 0.005)
        demand.survey([APPLICATION], from_s + 0.005 * (step + 1))


def test_an_objective_that_is_new_is_known_at_once_and_leaves_the_rate_as_it_is() -> None:
    demand = Demand()
    demand.survey([APPLICATION], 0.0)
    _asked(demand, 1_000, 0.0, 1.0)
    assert demand.per_s == pytest.approx(1_000)
    for number in range(1, 10):
        newcomer = dataclasses.replace(APPLICATION, latency_slo_micros=number)
        demand.seen(newcomer, 1.0 + number * 0.005)
        _asked(demand, 1_000, 1.0 + (number - 1) * 0.005, 1.0 + number * 0.005)
        assert number * 1e-6 in demand.objectives_s
    assert demand.per_s == pytest.approx(1_000)
