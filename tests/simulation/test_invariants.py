"""The engine's promises under every kind of load, change and failure; the referee fails a run that breaks one."""

from collections.abc import Callable
from functools import partial

import pytest

from services.query.engine.requests import DefaultReason
from simulation.loads import Arrivals, Load, gamma, on_off, poisson
from simulation.replicas import ServiceTime
from simulation.simulator import Simulator

_ARRIVALS = {"poisson": poisson, "gamma": gamma, "on and off": on_off}
_SEEDS = range(2)
_SLO_S = 0.1
# Two replicas of this kind do about 19,000 inputs a second in batches that take a third of the objective.
_SERVICE_TIME = ServiceTime(fixed_s=0.001, per_input_s=0.0001, noise=0.1)

every_load = pytest.mark.parametrize("arrivals", _ARRIVALS.values(), ids=_ARRIVALS)
every_seed = pytest.mark.parametrize("seed", _SEEDS)
every_cache = pytest.mark.parametrize("cache_bytes", [0, 100_000], ids=["uncached", "cached"])


def _serving(seed: int, *, replicas: int = 2, cache_bytes: int = 0, queue_capacity: int = 100_000) -> Simulator:
    """An application "app" on version 1 of a model "m"."""
    simulator = Simulator(seed, cache_bytes=cache_bytes, queue_capacity=queue_capacity)
    simulator.add_application("app", "m", _SLO_S)
    simulator.add_version("m", "1")
    for replica_id in range(replicas):
        simulator.add_replica("m", "1", replica_id, _SERVICE_TIME)
    return simulator


def _load(arrivals: Arrivals, until_s: float = 2.0) -> Load:
    return Load("app", arrivals, until_s)


@every_load
@every_seed
def test_with_enough_capacity_there_are_no_defaults(arrivals: Callable[[float], Arrivals], seed: int) -> None:
    simulator = _serving(seed)
    simulator.offer(_load(arrivals(5_000)))
    score = simulator.run().total
    assert score.predicted == score.asked > 7_000
    assert score.latency_s(0.5) < _SLO_S / 3


@every_load
@every_cache
def test_an_overload_makes_defaults_in_time_and_nothing_worse(
    arrivals: Callable[[float], Arrivals], cache_bytes: int
) -> None:
    simulator = _serving(1, cache_bytes=cache_bytes)
    simulator.offer(_load(arrivals(40_000), until_s=0.25))
    score = simulator.run().total
    assert set(score.defaults) <= {DefaultReason.DEADLINE_UNREACHABLE, DefaultReason.DEADLINE_IN_MODEL}
    assert score.defaults.total() > 2_000


@every_seed
def test_after_an_overload_the_service_recovers_at_once(seed: int) -> None:
    simulator = _serving(seed)
    simulator.offer(_load(poisson(40_000), until_s=0.3))
    # Whoever asks once the last objective of the overload has passed is served as if nothing had been.
    simulator.at(0.3 + _SLO_S, partial(simulator.offer, Load("later", poisson(5_000), until_s=1.0)))
    simulator.add_application("later", "m", _SLO_S)
    report = simulator.run()
    assert report.of("app").defaults
    assert not report.of("later").defaults


@every_seed
def test_a_full_queue_refuses_what_it_cannot_hold(seed: int) -> None:
    simulator = _serving(seed, queue_capacity=100)
    simulator.offer(_load(poisson(40_000), until_s=0.3))
    assert simulator.run().total.defaults[DefaultReason.QUEUE_FULL] > 1_000


@every_seed
@every_cache
def test_a_killed_replica_costs_no_default_while_another_lives(seed: int, cache_bytes: int) -> None:
    simulator = _serving(seed, cache_bytes=cache_bytes)
    simulator.offer(_load(poisson(4_000)))
    for turn in range(8):
        key = f"m:1:{turn % 2}"
        simulator.at(0.2 + turn * 0.2, partial(simulator.crash_replica, key, down_s=0.1))
    score = simulator.run().total
    assert score.predicted == score.asked > 7_000


@every_seed
def test_when_the_only_replica_dies_answers_are_defaults_at_once_and_then_predictions_again(seed: int) -> None:
    simulator = _serving(seed, replicas=1)
    simulator.offer(_load(poisson(2_000)))
    simulator.at(0.5, partial(simulator.crash_replica, "m:1:0", down_s=0.3))
    score = simulator.run().total
    assert set(score.defaults) <= {DefaultReason.REPLICA_LOST, DefaultReason.NO_REPLICA}
    assert 400 < score.defaults.total() < 900
    assert score.latency_s(1.0) < _SLO_S / 2


@every_seed
def test_in_a_storm_of_crashes_nothing_is_tried_more_than_twice(seed: int) -> None:
    simulator = _serving(seed, replicas=0)
    for replica_id in range(4):
        simulator.add_replica("m", "1", replica_id, ServiceTime(fixed_s=0.01))
    simulator.offer(_load(poisson(2_000)))
    for turn in range(1, 160):
        simulator.at(0.012 * turn, partial(simulator.crash_replica, f"m:1:{turn % 4}", down_s=0.0))
    score = simulator.run().total
    assert score.defaults[DefaultReason.REPLICA_LOST] > 100
    assert score.predicted > score.asked / 2


@every_seed
def test_replicas_come_and_go_without_a_default(seed: int) -> None:
    simulator = _serving(seed)
    simulator.offer(_load(poisson(4_000)))
    for turn in range(8):
        simulator.at(0.2 * turn, partial(simulator.add_replica, "m", "1", turn + 2, _SERVICE_TIME))
        simulator.at(0.2 * turn + 0.1, partial(simulator.remove_replica, f"m:1:{turn}"))
    score = simulator.run().total
    assert score.predicted == score.asked > 7_000


@every_seed
@every_cache
def test_a_new_version_takes_over_without_a_default(seed: int, cache_bytes: int) -> None:
    simulator = _serving(seed, cache_bytes=cache_bytes)
    simulator.offer(Load("app", poisson(4_000), until_s=2.0, distinct_inputs=500))
    for replica_id in range(2):
        simulator.at(0.9, partial(simulator.add_replica, "m", "2", replica_id, _SERVICE_TIME))
        simulator.at(1.2, partial(simulator.remove_replica, f"m:1:{replica_id}"))
    simulator.at(1.0, partial(simulator.add_version, "m", "2"))
    score = simulator.run().total
    assert score.predicted == score.asked > 7_000


@every_load
def test_equal_queries_are_computed_once_and_answered_all(arrivals: Callable[[float], Arrivals]) -> None:
    simulator = _serving(2, cache_bytes=10_000_000)
    simulator.offer(Load("app", arrivals(10_000), until_s=1.0, distinct_inputs=200))
    report = simulator.run()
    assert report.total.predicted == report.total.asked > 5_000
    assert report.computed == 200


@every_seed
def test_bad_inputs_fail_alone(seed: int) -> None:
    simulator = _serving(seed)
    simulator.offer(Load("app", poisson(2_000), until_s=2.0, most_inputs=4, bad_inputs=0.1))
    score = simulator.run().total
    assert set(score.defaults) == {DefaultReason.MODEL_ERROR}
    assert 0.08 < score.defaults.total() / score.asked < 0.12


@pytest.mark.parametrize("seed", range(3))
@every_cache
def test_all_at_once(seed: int, cache_bytes: int) -> None:
    simulator = _serving(seed, replicas=3, cache_bytes=cache_bytes, queue_capacity=2_000)
    _turmoil(simulator)
    score = simulator.run().total
    assert score.asked > 15_000
    assert score.cancelled > 300
    assert score.predicted > score.asked / 2
    assert score.defaults[DefaultReason.MODEL_ERROR] > 0


def _turmoil(simulator: Simulator) -> None:
    """Three applications with objectives of their own on two models whose versions and replicas never stay the same."""
    slow = ServiceTime(fixed_s=0.004, per_input_s=0.0002, noise=0.3, stragglers=0.01, straggler_factor=20)
    simulator.add_application("hasty", "m", 0.02)
    simulator.add_version("n", "1", batch_size=7)
    simulator.add_application("patient", "n", 0.5)
    for replica_id in range(3):
        simulator.add_replica("n", "1", replica_id, slow)
    loads = [
        Load("app", gamma(2_000), 2.0, distinct_inputs=3_000, most_inputs=5, cancelled=0.3, bad_inputs=0.01),
        Load("hasty", on_off(1_500), 2.0, distinct_inputs=500, cancelled=0.3),
        Load("patient", poisson(500), 2.0, most_inputs=3, cancelled=0.3),
        Load("patient", poisson(200), 2.0, patience_s=0.01),
        Load("app", poisson(200), 2.0, version="1"),
    ]
    for load in loads:
        simulator.offer(load)
    for turn in range(18):
        simulator.at(0.1 * (turn + 1), partial(_upset, simulator, turn, slow))


def _upset(simulator: Simulator, turn: int, slow: ServiceTime) -> None:
    """One thing that happens to a cluster."""
    match turn % 9:
        case 0:
            simulator.crash_replica("n:1:0", down_s=0.15)
        case 1:
            simulator.add_replica("m", f"v{turn}", 0, _SERVICE_TIME)
            simulator.add_replica("m", f"v{turn}", 1, slow)
        case 2:
            simulator.add_version("m", f"v{turn - 1}")
        case 3:
            simulator.crash_replica("m:1:1", down_s=0.05)
            simulator.crash_replica("m:1:2", down_s=0.25)
        case 4:
            simulator.delete_application("hasty")
        case 5:
            simulator.add_application("hasty", "n", 0.05)
        case 6:
            simulator.remove_replica(f"m:v{turn - 5}:1")
        case 7:
            simulator.delete_version("m", f"v{turn - 6}")
            simulator.remove_replica(f"m:v{turn - 6}:0")
        case 8:
            simulator.add_version("m", f"v{turn - 7}", image="rebuilt")
            simulator.add_replica("m", f"v{turn - 7}", 2, _SERVICE_TIME, image="rebuilt")


def test_the_same_seed_gives_the_same_run() -> None:
    reports = []
    for _ in range(2):
        simulator = _serving(9, replicas=3, cache_bytes=100_000)
        _turmoil(simulator)
        reports.append(simulator.run())
    assert reports[0] == reports[1]
