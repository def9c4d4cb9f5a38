"""What a query costs does not grow with those who share a model, or serve it."""

import sys
from types import FrameType

from services.query.engine import engine
from simulation.loads import Load, poisson
from simulation.replicas import ServiceTime
from simulation.simulator import Simulator

_ENGINE = engine.__file__.removesuffix("engine.py")
_QUERIES = 1_000


def _calls_for_a_query(rate: float, *, applications: int = 1, replicas: int = 3) -> float:
    """How often functions of the engine are called for a query, generators and what is built in included."""
    simulator = Simulator(1)
    simulator.add_version("m", "1")
    for replica_id in range(replicas):
        simulator.add_replica("m", "1", replica_id, ServiceTime())
    for number in range(applications):
        simulator.add_application(f"app{number}", "m", 0.1)
        load = Load(f"app{number}", poisson(rate / applications), until_s=1.0 + _QUERIES / rate)
        simulator.at(1.0, lambda load=load: simulator.offer(load))  # type: ignore[misc]
    calls = 0

    def count(frame: FrameType, event: str, _: object) -> None:
        nonlocal calls
        if event in {"call", "c_call"} and frame.f_code.co_filename.startswith(_ENGINE):
            calls += 1

    simulator.at(1.0, lambda: sys.setprofile(count))
    try:
        report = simulator.run()
    finally:
        sys.setprofile(None)
    assert report.total.attainment == 1.0
    return calls / report.total.asked


def test_a_query_costs_the_same_beside_a_thousand_applications() -> None:
    assert _calls_for_a_query(2_000, applications=1_000) <= 1.3 * _calls_for_a_query(2_000)


def test_a_query_costs_the_same_with_three_hundred_replicas() -> None:
    # So few that with three replicas, too, each has a batch of its own.
    assert _calls_for_a_query(200, replicas=300) <= 1.3 * _calls_for_a_query(200)
