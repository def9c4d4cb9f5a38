"""Clipper, running as `ProcessContainerManager` runs it, with several models for an application."""

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from bench.errors import BenchmarkError
from bench.selection.digits import Model
from clipper_admin import ClipperConnection, ProcessContainerManager
from clipper_admin.deployers import python as python_deployer
from clipper_admin.hosts.process.directory import clipper_home
from clipper_admin.hosts.process.host import ProcessHost

DEFAULT_OUTPUT = "none"
_CLUSTER = "bench-selection"
_INPUT_TYPE = "doubles"
_MICROS = 1e6


@dataclass(frozen=True, slots=True)
class Latency:
    """How long an application's requests took by the query service's own clock, right to within 5 %."""

    p50_s: float
    p99_s: float


@dataclass(frozen=True, slots=True)
class System:
    """A running cluster.

    Attributes:
        addresses: host:port of each query service.
    """

    addresses: Sequence[str]
    _connection: ClipperConnection = field(repr=False)
    _cluster: ProcessHost = field(repr=False)

    @property
    def address(self) -> str:
        """host:port of the first query service."""
        return self.addresses[0]

    @contextmanager
    def serving(self, models: Sequence[Model]) -> Iterator[None]:
        """Has the models served, each by one container, as long as the context lasts."""
        try:
            for model in models:
                python_deployer.deploy_python_closure(
                    self._connection, model.name, 1, _INPUT_TYPE, model.function, pkgs_to_install=model.packages
                )
            yield
        finally:
            self._connection.stop_models([model.name for model in models])

    @contextmanager
    def application(
        self, name: str, models: Sequence[Model], slo_s: float, policy: str, **options: Any
    ) -> Iterator[str]:
        """The name of an application that uses all of the models, as long as the context lasts.

        Args:
            name: what it is called.
            models: served ones.
            slo_s: its latency objective.
            policy: its selection policy.
            options: further ones of ClipperConnection.register_application.
        """
        self._connection.register_application(
            name,
            _INPUT_TYPE,
            DEFAULT_OUTPUT,
            round(slo_s * _MICROS),
            selection_policy=policy,
            **options,
        )
        try:
            for model in models:
                self._connection.link_model_to_app(name, model.name)
            yield name
        finally:
            self._connection.unregister_application(name)

    def latency(self, application: str) -> Latency:
        """Of an application's requests until now."""
        histograms = self._connection.inspect_instance()["histograms"]
        name = f"app:{application}:prediction_latency"
        found = next(each[name] for each in histograms if name in each)
        return Latency(found["p50"] / _MICROS, found["p99"] / _MICROS)

    def selection_state(self, application: str) -> dict[str, float]:
        """What an application has learned for nobody in particular."""
        return dict(self._connection.get_selection_state(application)["state"])

    def kill_query_service(self, index: int) -> None:
        """Kills one; the cluster starts it again."""
        name = f"query-{index}"
        os.kill(next(status.pid for status in self._cluster.processes() if status.name == name), signal.SIGKILL)

    def check_nothing_died(self) -> None:
        """BenchmarkError when a process had to be started again."""
        died = [status.name for status in self._cluster.processes() if status.deaths]
        if died:
            raise BenchmarkError(f"{', '.join(died)} died; see {self._cluster.directory.logs}")


@contextmanager
def running_system(name: str = _CLUSTER, query_services: int = 1) -> Iterator[System]:
    """A cluster without a model."""
    connection = ClipperConnection(ProcessContainerManager(name, query_port=0, management_port=0, metrics_port=0))
    cluster = ProcessHost(name, clipper_home())
    connection.start_clipper(num_frontend_replicas=query_services)
    try:
        yield System(cluster.state().addresses.query_services, connection, cluster)
    finally:
        connection.stop_all(graceful=False)
