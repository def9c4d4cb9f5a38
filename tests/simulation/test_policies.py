"""How the batching policies compare, and what the default one, adaptive, promises."""

from functools import cache, partial

import pytest

from services.query.engine.requests import DefaultReason
from simulation.loads import Arrivals, Load, gamma, on_off, poisson
from simulation.replicas import ServiceTime
from simulation.report import Report
from simulation.scenarios import SCENARIOS, Scenario
from simulation.simulator import Simulator

_SLO_S = 0.1
_SERVICE_TIME = ServiceTime(fixed_s=0.001, per_input_s=0.0001)
# One replica of that kind in batches of half of the objective.
_CAPACITY = 9_800
# Which batches meet stragglers and noise is chance, and no two policies have the same.
_CHANCE = 0.99
_TITLES = [scenario.title for scenario in SCENARIOS if scenario.models == 1]


@cache
def _in_time(title: str, policy: str) -> int:
    """How many queries of a scenario, shortened, a policy serves by their deadline."""
    scenario = next(scenario for scenario in SCENARIOS if scenario.title == title)
    return scenario.lasting(queries=10_000).run(policy).total.predicted


@pytest.mark.parametrize("title", _TITLES)
def test_adaptive_serves_at_least_as_many_in_time_as_any_other_policy(title: str) -> None:
    best = max(_in_time(title, policy) for policy in ("fixed", "aimd", "quantile"))
    assert _in_time(title, "adaptive") >= best * _CHANCE


@pytest.mark.parametrize("title", [title for title in _TITLES if title.startswith("Bursts")])
def test_adaptive_serves_far_more_bursts_in_time_than_the_papers_policies(title: str) -> None:
    best = max(_in_time(title, policy) for policy in ("aimd", "quantile"))
    assert _in_time(title, "adaptive") >= best * 1.15


def _run(
    load: float, *, service_time: ServiceTime = _SERVICE_TIME, slo_s: float = _SLO_S, seconds: float = 2.0
) -> Report:
    """One replica under adaptive; `load` in requests a second."""
    return Scenario("", poisson(load), service_time, slo_s=slo_s, replicas=1, seconds=seconds).run("adaptive")


def test_at_twice_the_capacity_as_many_are_served_as_at_the_capacity_and_all_are_answered_in_time() -> None:
    sustained = [
        report for share in (0.8, 0.9, 1.0, 1.1) if (report := _run(_CAPACITY * share)).total.attainment > 0.99
    ]
    capacity = max(report.total.goodput for report in sustained)
    assert capacity > 0.85 * _CAPACITY
    overload = _run(2 * capacity)
    assert overload.total.goodput >= 0.95 * capacity
    # The referee has seen that no answer was late; what is given up is told so before its deadline.
    assert overload.total.defaults[DefaultReason.DEADLINE_UNREACHABLE] > 0.9 * overload.total.defaults.total()


def test_a_tight_objective_is_kept_at_twice_the_capacity() -> None:
    tight = ServiceTime(fixed_s=0.002, per_input_s=0.001)
    in_batches_of_half_the_objective = 8 / tight.mean_s(8)
    report = _run(2 * in_batches_of_half_the_objective, service_time=tight, slo_s=0.02, seconds=8.0)
    assert report.total.goodput >= 0.95 * in_batches_of_half_the_objective


def _serving(*, replicas: int = 1) -> Simulator:
    simulator = Simulator(1)
    for application in ("app", "later"):
        simulator.add_application(application, "m", _SLO_S)
    simulator.add_version("m", "1")
    for replica_id in range(replicas):
        simulator.add_replica("m", "1", replica_id, _SERVICE_TIME)
    return simulator


@pytest.mark.parametrize(
    "arrivals", [poisson(3_500), gamma(2_500), on_off(1_500)], ids=["poisson", "gamma", "on and off"]
)
def test_a_model_that_becomes_half_as_fast_is_followed_within_a_second(arrivals: Arrivals) -> None:
    simulator = _serving()
    simulator.offer(Load("app", arrivals, until_s=2.0))
    simulator.at(1.0, partial(simulator.change_speed, "m:1:0", _SERVICE_TIME.slowed(2.0)))
    simulator.at(2.0, partial(simulator.offer, Load("later", arrivals, until_s=4.0)))
    assert simulator.run().of("later").attainment > 0.999


def test_a_replica_that_was_slow_once_is_used_again_at_once() -> None:
    simulator = _serving()
    simulator.offer(Load("app", poisson(1_000), until_s=2.0))
    simulator.at(1.0, partial(simulator.change_speed, "m:1:0", ServiceTime(fixed_s=1.0)))
    simulator.at(1.1, partial(simulator.change_speed, "m:1:0", _SERVICE_TIME))
    # The slow batch ends at 2 s or a little later.
    simulator.at(2.3, partial(simulator.offer, Load("later", poisson(1_000), until_s=3.3)))
    report = simulator.run()
    assert report.of("app").defaults
    assert report.of("later").attainment > 0.995


def test_a_replica_that_was_too_slow_for_everybody_is_found_to_have_recovered_within_a_second() -> None:
    simulator = _serving()
    simulator.offer(Load("app", poisson(1_000), until_s=6.0))
    simulator.at(1.0, partial(simulator.change_speed, "m:1:0", _SERVICE_TIME.slowed(200.0)))
    simulator.at(5.0, partial(simulator.change_speed, "m:1:0", _SERVICE_TIME))
    simulator.at(6.0, partial(simulator.offer, Load("later", poisson(1_000), until_s=8.0)))
    assert simulator.run().of("later").attainment > 0.999


def test_when_one_of_two_replicas_is_too_slow_the_other_serves() -> None:
    simulator = _serving(replicas=2)
    simulator.offer(Load("app", poisson(2_000), until_s=2.0))
    simulator.at(1.0, partial(simulator.change_speed, "m:1:0", _SERVICE_TIME.slowed(200.0)))
    simulator.at(2.0, partial(simulator.offer, Load("later", poisson(2_000), until_s=6.0)))
    assert simulator.run().of("later").attainment > 0.98
