"""Applications with different latency objectives on one model: nobody is served worse for what another wants."""

import math
from collections.abc import Mapping, Sequence
from functools import partial

import pytest

from simulation import rules
from simulation.loads import Arrivals, Load, poisson
from simulation.replicas import ServiceTime
from simulation.report import Report, Score
from simulation.simulator import Simulator

_SERVICE_TIME = ServiceTime(fixed_s=0.001, per_input_s=0.0001)
_TIGHT_S, _WIDE_S = 0.005, 0.5
_WARM_UP_S, _SECONDS = 0.5, 3.0
# One seed's luck is not another's.
_SEEDS = (1, 2)
_HARDLY = 0.03


def _run(
    applications: Mapping[str, tuple[float, Arrivals]],
    *,
    policy: str = "",
    idle_s: float = math.inf,
    service_time: ServiceTime = _SERVICE_TIME,
    rule: rules.Rule | None = None,
    seed: int = 1,
) -> Report:
    """What becomes of applications with an objective each on one replica, beside one of `idle_s` that asks nothing."""
    simulator = Simulator(seed)
    for name, (slo_s, arrivals) in applications.items():
        for application, from_s, until_s in (
            (f"early {name}", 0.0, _WARM_UP_S),
            (name, _WARM_UP_S, _WARM_UP_S + _SECONDS),
        ):
            simulator.add_application(application, "m", slo_s)
            simulator.at(from_s, partial(simulator.offer, Load(application, arrivals, until_s)))
    if idle_s < math.inf:
        simulator.add_application("idle", "m", idle_s)
    simulator.add_version("m", "1", policy=policy)
    simulator.add_replica("m", "1", 0, service_time, rule=rule)
    return simulator.run()


def _mixed(tight: float, wide: float, rule: rules.Rule | None = None, seed: int = 1) -> tuple[Score, Score]:
    """What becomes of so many a second who want their answers in 5 ms, and in 500 ms."""
    report = _run({"tight": (_TIGHT_S, poisson(tight)), "wide": (_WIDE_S, poisson(wide))}, rule=rule, seed=seed)
    return report.of("tight"), report.of("wide")


@pytest.mark.parametrize(
    ("tight", "wide", "served"),
    [
        (20, 2_000, 0.99),
        (20, 4_000, 0.99),
        (20, 6_000, 0.93),
        (1_000, 1_000, 0.99),
        (2_000, 2_000, 0.98),
        (4_000, 20, 0.94),
    ],
)
def test_a_tight_objective_is_kept_beside_a_wide_one_which_is_kept_too(
    tight: float, wide: float, served: float
) -> None:
    tight_score, wide_score = _mixed(tight, wide)
    assert tight_score.attainment >= served
    assert wide_score.attainment == 1.0
    assert wide_score.latency_s(0.99) < 0.05


@pytest.mark.parametrize(
    ("tight", "wide"),
    [(20, 6_000), (20, 8_000), (1_000, 6_000), (3_000, 3_000), (4_000, 4_000), (6_000, 20)],
)
def test_a_rule_that_is_told_rate_and_speed_keeps_hardly_more_objectives(tight: float, wide: float) -> None:
    told = rules.stable(_SERVICE_TIME, tight + wide)
    learnt_scores, told_scores = ([_mixed(tight, wide, rule, seed) for seed in _SEEDS] for rule in (None, told))
    for learnt, best in zip(zip(*learnt_scores, strict=True), zip(*told_scores, strict=True), strict=True):
        assert _in_time(learnt) >= _in_time(best) - _HARDLY


def _in_time(scores: Sequence[Score]) -> float:
    """The share of all the queries of some runs that were answered in time."""
    return sum(score.predicted for score in scores) / sum(score.asked for score in scores)


def test_where_a_tight_objective_cannot_be_kept_the_wide_one_is() -> None:
    assert _mixed(20, 9_000)[1].attainment > 0.999


def test_three_objectives_are_kept_side_by_side() -> None:
    report = _run({f"{slo_s}": (slo_s, poisson(1_500)) for slo_s in (_TIGHT_S, 0.05, _WIDE_S)})
    assert min(report.of(f"{slo_s}").attainment for slo_s in (_TIGHT_S, 0.05, _WIDE_S)) > 0.98


@pytest.mark.parametrize("policy", ["aimd", "quantile", "adaptive"])
def test_an_application_that_is_registered_and_asks_nothing_changes_nothing(policy: str) -> None:
    alone, beside = (
        _run({"app": (0.1, poisson(8_000))}, policy=policy, idle_s=idle_s).of("app") for idle_s in (math.inf, _TIGHT_S)
    )
    assert beside == alone
    assert beside.attainment > 0.999


@pytest.mark.parametrize("policy", ["aimd", "quantile", "adaptive"])
def test_an_objective_that_nothing_can_meet_is_no_reason_to_serve_others_worse(policy: str) -> None:
    report = _run({"app": (0.1, poisson(8_000)), "impossible": (0.001, poisson(20))}, policy=policy)
    assert report.of("app").attainment > 0.999
    assert report.of("app").latency_s(0.99) < 0.03


def test_batches_with_a_large_cost_of_their_own_are_large_enough_to_keep_up_near_the_capacity() -> None:
    costly = ServiceTime(fixed_s=0.02, per_input_s=0.0002, noise=0.03)
    assert _run({"app": (0.1, poisson(2_400))}, service_time=costly).of("app").attainment > 0.99
