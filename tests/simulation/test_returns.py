"""Clients that ask again as soon as they are answered, and a model whose batches cost much whatever their size."""

from collections.abc import Iterator
from functools import partial
from itertools import count

import pytest

from services.query.engine.requests import Request
from simulation.loads import Load, poisson
from simulation.replicas import ServiceTime
from simulation.simulator import Simulator

_COSTLY = ServiceTime(fixed_s=0.02, per_input_s=0.0002, noise=0.03)
_UNTIL_S = 4.0
_SETTLED_S = 1.0
# How long an answer and the next question take on their ways; by when a query service has found the time to dispatch.
_ON_THE_WAY_S = 0.0005
_BURST_S = 0.0005


class _ClosedLoop:
    """So many clients with a call outstanding each.

    Attributes:
        latencies_s: how long those of their calls took that were answered in time, but for the first second's.
    """

    def __init__(self, clients: int, slo_s: float, service_time: ServiceTime, replicas: int = 1) -> None:
        self.latencies_s: list[float] = []
        self.simulator = simulator = Simulator(1)
        simulator.add_application("app", "model", slo_s)
        simulator.add_version("model", "1")
        for replica_id in range(replicas):
            simulator.add_replica("model", "1", replica_id, service_time)
        simulator.on_finished = self._finished
        self._numbers: Iterator[int] = count()
        for client in range(clients):
            simulator.at(0.1 + client * 0.003, self._ask)

    def _ask(self) -> None:
        simulator = self.simulator
        route = simulator.engine.routes["app"]
        simulator.ask(route, route.version, [b"good %d" % next(self._numbers)], simulator.now_s + route.slo_s)

    def _finished(self, request: Request) -> None:
        simulator = self.simulator
        if not request.queries[0].reason and simulator.now_s >= _SETTLED_S:
            self.latencies_s.append(simulator.now_s - request.arrival_s)
        if simulator.now_s < _UNTIL_S:
            simulator.after(simulator.random.uniform(0.1, 1.0) * _ON_THE_WAY_S, self._ask)

    def run(self) -> float:
        """Answers in time a second."""
        self.simulator.run()
        return len(self.latencies_s) / (_UNTIL_S - _SETTLED_S)


@pytest.mark.parametrize("clients", [8, 64])
def test_clients_that_come_back_together_are_served_together(clients: int) -> None:
    rate = _ClosedLoop(clients, 0.5, _COSTLY).run()
    assert rate >= 0.9 * clients / (_COSTLY.mean_s(clients) + _ON_THE_WAY_S + _BURST_S)


def test_nobody_is_waited_for_where_an_objective_leaves_no_time() -> None:
    clients = _ClosedLoop(8, 0.03, _COSTLY)
    clients.run()
    assert max(clients.latencies_s) < 0.03


def test_a_single_client_waits_for_nobody() -> None:
    loop = _ClosedLoop(1, 0.5, _COSTLY)
    assert loop.run() >= 0.95 / (_COSTLY.mean_s(1) + _ON_THE_WAY_S)


def test_who_comes_at_random_waits_for_nobody() -> None:
    simulator = Simulator(1)
    simulator.add_application("app", "model", 0.5)
    simulator.add_version("model", "1")
    simulator.add_replica("model", "1", 0, _COSTLY)
    idle_for_s: list[float] = []

    def finished(request: Request) -> None:
        idle_for_s.append(simulator.now_s - request.arrival_s)

    simulator.on_finished = finished
    simulator.at(0.1, partial(simulator.offer, Load("app", poisson(10.0), 20.0)))
    simulator.run()
    assert sorted(idle_for_s)[len(idle_for_s) // 2] < _COSTLY.mean_s(1) + _BURST_S + 0.001
