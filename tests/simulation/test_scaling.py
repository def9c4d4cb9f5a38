"""What more replicas, a batch delay, and equal queries bring."""

import pytest

from simulation.loads import Load, poisson
from simulation.replicas import ServiceTime
from simulation.report import Report, Score
from simulation.scenarios import Scenario
from simulation.simulator import Simulator

_SLO_S = 0.1
# A model on an accelerator: a batch costs much, an input little.
_WAITING = ServiceTime(fixed_s=0.008, per_input_s=0.0005, noise=0.03)
# One replica in batches of half of the objective.
_CAPACITY = 1_680


def _scaled(share: float, replicas: int) -> Score:
    """What becomes of `share` of the capacity of `replicas`."""
    arrivals = poisson(share * _CAPACITY * replicas)
    return Scenario("", arrivals, _WAITING, slo_s=_SLO_S, replicas=replicas, seconds=2.0).run("adaptive").total


@pytest.mark.parametrize("share", [0.8, 2.0], ids=["below capacity", "overload"])
def test_four_replicas_serve_four_times_what_one_does_and_no_slower(share: float) -> None:
    one, four = _scaled(share, 1), _scaled(share, 4)
    assert four.goodput >= 3.9 * one.goodput
    assert four.latency_s(0.99) <= one.latency_s(0.99) * 1.05


@pytest.mark.parametrize("replicas", [2, 8, 16])
def test_replicas_share_a_queue_without_giving_up_what_they_can_serve_together(replicas: int) -> None:
    assert _scaled(0.8, replicas).attainment > 0.99


def _delayed(rate: float, delay_s: float, service_time: ServiceTime = _WAITING) -> Report:
    """What becomes of `rate` queries a second on one replica whose batches are held back for `delay_s`."""
    simulator = Simulator(1)
    simulator.add_application("app", "m", _SLO_S)
    simulator.add_version("m", "1", delay_s=delay_s)
    simulator.add_replica("m", "1", 0, service_time)
    simulator.offer(Load("app", poisson(rate), until_s=3.0))
    return simulator.run()


def test_a_delay_of_2_ms_makes_three_times_of_a_model_with_a_fixed_cost_for_each_batch() -> None:
    per_batch = ServiceTime(fixed_s=0.0005, per_input_s=0.000005, noise=0.05)
    waits_ms = (0, 1, 2, 3)
    reports = [_delayed(1_500, wait_ms / 1e3, per_batch) for wait_ms in waits_ms]
    assert all(report.total.attainment == 1.0 for report in reports)
    # Predictions for each second that the model computes: what is left of its machine is there for others.
    none, one, two, three = (report.computed / report.busy_s for report in reports)
    assert none < one < two < three
    assert 2.5 < two / none < 3.5
    sizes = [report.mean_batch for report in reports]
    assert sizes == sorted(sizes)
    assert reports[2].total.latency_s(0.5) - reports[0].total.latency_s(0.5) < 0.002


def test_a_delay_brings_nothing_to_a_model_without_a_fixed_cost() -> None:
    per_input = ServiceTime(fixed_s=0.0, per_input_s=0.0005, noise=0.05)
    none, two = (_delayed(1_500, delay_s, per_input) for delay_s in (0.0, 0.002))
    assert two.computed / two.busy_s == pytest.approx(none.computed / none.busy_s, rel=0.05)


def test_a_delay_costs_nothing_where_batches_fill_anyway() -> None:
    none, two = (_delayed(2 * _CAPACITY, delay_s).total for delay_s in (0.0, 0.002))
    assert two.goodput > 0.99 * none.goodput


def test_a_thousand_equal_concurrent_queries_reach_the_model_once() -> None:
    simulator = Simulator(1, cache_bytes=1_000_000)
    simulator.add_application("app", "m", _SLO_S)
    simulator.add_version("m", "1")
    simulator.add_replica("m", "1", 0, ServiceTime(fixed_s=0.05))
    # All of them come while the first is computed.
    simulator.at(0.05, lambda: simulator.offer(Load("app", poisson(50_000), until_s=0.09, distinct_inputs=1)))
    report = simulator.run()
    assert report.total.predicted == report.total.asked > 1_000
    assert report.computed == 1
