"""Replicas that freeze, connected as they are, and what that costs those who ask."""

from collections.abc import Callable
from functools import partial

import pytest

from services.common.names import ADAPTIVE_BATCH_SIZE
from services.query.engine.requests import DefaultReason
from simulation.loads import Arrivals, Load, gamma, on_off, poisson
from simulation.replicas import ServiceTime
from simulation.simulator import Simulator

_SLO_S = 0.1
_SERVICE_TIME = ServiceTime(fixed_s=0.001, per_input_s=0.0001, noise=0.1)
_FREEZES_S = 1.0
# An objective and a second.
_ROUTED_ROUND_S = _FREEZES_S + _SLO_S + 1.0

every_seed = pytest.mark.parametrize("seed", range(3))
every_load = pytest.mark.parametrize("arrivals", [poisson, gamma, on_off], ids=["poisson", "gamma", "on and off"])
every_policy = pytest.mark.parametrize("policy", ["fixed", "aimd", "quantile", "adaptive"])


def _serving(
    seed: int,
    *,
    replicas: int = 2,
    slo_s: float = _SLO_S,
    cache_bytes: int = 0,
    policy: str = "adaptive",
    service_time: ServiceTime = _SERVICE_TIME,
) -> Simulator:
    """Applications "app" and "later" on version 1 of a model "m"."""
    simulator = Simulator(seed, cache_bytes=cache_bytes)
    simulator.add_application("app", "m", slo_s)
    simulator.add_application("later", "m", slo_s)
    simulator.add_version("m", "1", policy=policy, batch_size=16 if policy == "fixed" else ADAPTIVE_BATCH_SIZE)
    for replica_id in range(replicas):
        simulator.add_replica("m", "1", replica_id, service_time)
    return simulator


@every_seed
@every_load
@every_policy
def test_of_two_replicas_one_freezes_and_after_an_objective_and_a_second_nobody_notices(
    arrivals: Callable[[float], Arrivals], seed: int, policy: str
) -> None:
    simulator = _serving(seed, policy=policy)
    simulator.offer(Load("app", arrivals(1_000), _ROUTED_ROUND_S))
    simulator.at(_FREEZES_S, partial(simulator.freeze_replica, "m:1:0", 3.0))
    simulator.at(_ROUTED_ROUND_S, partial(simulator.offer, Load("later", arrivals(1_000), 5.0)))
    report = simulator.run()
    assert report.of("later").predicted == report.of("later").asked > 1_000
    # What it had, and what a bursty load could not be served of by the other alone.
    assert report.of("app").defaults.total() < 0.05 * report.of("app").asked


@every_seed
def test_what_a_frozen_replica_has_is_answered_by_another_while_there_is_time(seed: int) -> None:
    simulator = _serving(seed, slo_s=0.5)
    simulator.offer(Load("app", poisson(1_000), 4.0))
    for turn in range(3):
        simulator.at(_FREEZES_S + turn, partial(simulator.freeze_replica, f"m:1:{turn % 2}", 0.8))
    score = simulator.run().total
    assert score.predicted == score.asked > 3_000


@every_seed
def test_an_input_that_is_stuck_in_a_frozen_replica_is_answered_by_another(seed: int) -> None:
    simulator = _serving(seed, cache_bytes=1_000_000)
    simulator.add_application("other", "m", _SLO_S, cache_ttl_micros=1)
    # Twenty inputs, of which some are always on their way.
    simulator.offer(Load("other", poisson(1_000), 5.0, distinct_inputs=20))
    simulator.at(_FREEZES_S, partial(simulator.freeze_replica, "m:1:0", 3.0))
    score = simulator.run().total
    assert score.predicted >= 0.98 * score.asked


@every_seed
def test_the_only_replica_is_frozen_and_answers_are_defaults_at_once_until_it_is_back(seed: int) -> None:
    simulator = _serving(seed, replicas=1)
    simulator.add_application("meanwhile", "m", _SLO_S)
    simulator.offer(Load("app", poisson(1_000), _ROUTED_ROUND_S))
    simulator.at(_FREEZES_S, partial(simulator.freeze_replica, "m:1:0", 3.0))
    simulator.at(_ROUTED_ROUND_S + 0.01, partial(simulator.offer, Load("meanwhile", poisson(1_000), 3.9)))
    simulator.at(_FREEZES_S + 3.01, partial(simulator.offer, Load("later", poisson(1_000), 6.0)))
    report = simulator.run()
    meanwhile, later = report.of("meanwhile"), report.of("later")
    assert meanwhile.defaults == {DefaultReason.NO_REPLICA: meanwhile.asked}
    assert meanwhile.latency_s(1.0) == 0.0
    assert later.predicted == later.asked > 1_000


@every_seed
def test_a_frozen_model_does_not_hold_up_an_ensemble(seed: int) -> None:
    simulator = Simulator(seed)
    for model in ("a", "b", "c"):
        simulator.add_version(model, "1")
        simulator.add_replica(model, "1", 0, _SERVICE_TIME)
    for name in ("app", "later"):
        simulator.add_application(name, "a", _SLO_S, others=("b", "c"), selection_policy="majority")
    simulator.offer(Load("app", poisson(500), _ROUTED_ROUND_S))
    simulator.at(_FREEZES_S, partial(simulator.freeze_replica, "a:1:0", 3.0))
    simulator.at(_ROUTED_ROUND_S + 0.01, partial(simulator.offer, Load("later", poisson(500), 3.9)))
    later = simulator.run().of("later")
    assert later.asked > 500
    assert later.latency_s(0.99) < _SLO_S / 2


@every_seed
@every_policy
def test_a_model_that_is_slower_than_every_objective_is_asked_as_ever(seed: int, policy: str) -> None:
    asked_s = 60.0
    simulator = _serving(seed, replicas=1, policy=policy, service_time=ServiceTime(fixed_s=2.0, per_input_s=0.0))
    simulator.offer(Load("app", poisson(20), 3.0))
    # By then it is known to be slow.
    simulator.at(3.0, partial(simulator.offer, Load("later", poisson(20), asked_s)))
    report = simulator.run()
    # It is never idle for longer than until the next question.
    assert report.batch_sizes.total() >= 0.95 * asked_s / 2.0 - 2
    assert DefaultReason.NO_REPLICA not in report.of("later").defaults


@every_seed
def test_freezes_in_a_storm_of_crashes_break_no_promise(seed: int) -> None:
    simulator = _serving(seed, replicas=4, cache_bytes=100_000)
    simulator.add_application("patient", "m", 2.0)
    simulator.offer(
        Load("app", gamma(2_000), 6.0, distinct_inputs=3_000, most_inputs=4, cancelled=0.3, bad_inputs=0.01)
    )
    simulator.offer(Load("patient", poisson(300), 6.0, distinct_inputs=300, cancelled=0.1))
    for turn in range(40):
        simulator.at(0.15 * turn + 0.05, partial(simulator.freeze_replica, f"m:1:{turn % 4}", 0.05 * (turn % 31)))
        simulator.at(0.15 * turn + 0.1, partial(simulator.crash_replica, f"m:1:{turn * 3 % 4}", 0.1))
    score = simulator.run().total
    assert score.predicted > score.asked / 2
