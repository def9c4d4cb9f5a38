"""The services of a cluster of local processes from their user's side: started, found again, stopped."""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from clipper_admin.exceptions import ClipperException
from clipper_admin.local.directory import ClusterDirectory
from clipper_admin.local.layout import ClusterOptions, lay_out
from clipper_admin.local.process import ProcessStatus, how_it_ended
from clipper_admin.local.state import Addresses, ClusterState, UnreadableState
from clipper_admin.local.supervision import Supervision
from clipper_admin.logs import ClusterAdapter
from clipper_admin.readiness import is_serving

_LOG = logging.getLogger(__name__)
_QUERY_SERVICE = "clipper.v1.QueryService"
_MANAGEMENT_SERVICE = "clipper.v1.ManagementService"
_START_TIMEOUT_S = 60.0
# Of somebody else's: a start, or a stop.
_OTHERS_TIMEOUT_S = 60.0
_POLL_INTERVAL_S = 0.05


class LocalCluster:
    """The services of one cluster; the running one, if there is one, is found by its directory.

    Attributes:
        name: the cluster's name.
        directory: its files.
        supervision: its supervisor.
    """

    def __init__(self, name: str, home: Path) -> None:
        self.name = name
        self.directory = ClusterDirectory(home / "clusters" / name)
        self.supervision = Supervision(name, self.directory)
        self._logger = ClusterAdapter(_LOG, name)

    def start(self, options: ClusterOptions) -> bool:
        """Starts the services and returns when all of them serve, or when those serve that run already.

        Whoever is just starting the cluster, or stopping it, is waited for. A cluster that has not been stopped but
        killed goes on with what is on disk: what is registered, and its replicas, which are started but not waited for.
        After a start that failed or was broken off nothing runs, and what was on disk is still there.

        Returns:
            Whether they were started here; else `options` had no effect.

        Raises:
            ClipperException: the cluster runs but does not serve, a port is taken, a program is missing or a service
                died.
        """
        self.directory.create()
        while (lock := self._lock_unless_served()) is not None:
            planned = None
            try:
                with os.fdopen(lock):
                    planned = self._plan_life(options)
                    self.supervision.begin(lock)
                if planned is not None:
                    self._wait_until_serving(planned.addresses)
                    return True
            except BaseException:
                if planned is not None:
                    self.supervision.end(graceful=False, forget=False)
                raise
        return False

    def state(self) -> ClusterState:
        """The running cluster, with a supervisor.

        Raises:
            ClipperException: it does not run.
        """
        state = self.supervision.ensure()
        if state is None:
            raise ClipperException(
                f"There is no running cluster {self.name} in {self.directory.root}. "
                "ClipperConnection.start_clipper starts one"
            )
        if not state.alive():
            raise ClipperException(
                f"There is no running cluster {self.name} in {self.directory.root}, but what it was is kept there. "
                "ClipperConnection.start_clipper starts it again"
            )
        return state

    def processes(self) -> list[ProcessStatus]:
        """How its processes stand."""
        return [ProcessStatus.from_json(status) for status in self.supervision.order("status")]

    def stop(self, graceful: bool) -> None:
        """Stops everything and forgets the cluster, but for its logs; nothing happens when there is none."""
        if self.directory.root.exists():
            self.supervision.end(graceful=graceful, forget=True)

    def failure(self, status: ProcessStatus, circumstance: str) -> ClipperException:
        """What to raise for a process that died: how it did, and the end of its log."""
        return ClipperException(
            f"{status.name} {how_it_ended(status.exit_code)} {circumstance}. "
            f"The end of its log ({self.directory.log_file(status.name)}):\n{self.directory.log_tail(status.name)}"
        )

    def _lock_unless_served(self) -> int | None:
        """Locks the cluster as soon as nobody runs it; None when it serves."""
        deadline = time.monotonic() + _OTHERS_TIMEOUT_S
        while (lock := self.directory.try_lock()) is None:
            if self._serves():
                return None
            if time.monotonic() > deadline:
                raise ClipperException(
                    f"Cluster {self.name} runs already but did not serve within {_OTHERS_TIMEOUT_S:.0f} s; see "
                    f"{self.directory.logs}. ClipperConnection.stop_all stops it, and then it can be started again"
                )
            time.sleep(_POLL_INTERVAL_S)
        return lock

    def _serves(self) -> bool:
        try:
            state = self.supervision.state()
        except UnreadableState:
            return False
        # Without its supervisor a state is a plan, or what an earlier life left at ports that are another's by now.
        if state is None or not state.is_supervised():
            return False
        addresses = state.addresses
        return is_serving(addresses.query, _QUERY_SERVICE) and is_serving(addresses.admin, _MANAGEMENT_SERVICE)

    def _plan_life(self, options: ClusterOptions) -> ClusterState | None:
        """Writes down how the cluster's next life is to look; None when its last has not ended."""
        last = self._last_state()
        if last is not None and last.alive():
            return None
        self.supervision.end_leftovers()
        self.directory.prepare()
        planned = lay_out(self.directory, options, () if last is None else last.replicas())
        self.directory.begin_logs()
        planned.write(self.directory.state_file)
        return planned

    def _last_state(self) -> ClusterState | None:
        try:
            return self.supervision.state()
        except UnreadableState as error:
            aside = self.directory.put_state_aside()
            self._logger.warning(
                "%s. It is now %s; which replicas ran is not known any more, what is registered is", error, aside
            )
            return None

    def _wait_until_serving(self, addresses: Addresses) -> None:
        probes: list[Callable[[], bool]] = [
            *(lambda address=address: is_serving(address, _QUERY_SERVICE) for address in addresses.query_services),
            lambda: is_serving(addresses.query, _QUERY_SERVICE),
            lambda: is_serving(addresses.admin, _MANAGEMENT_SERVICE),
        ]
        deadline = time.monotonic() + _START_TIMEOUT_S
        while probes:
            for status in self.processes():
                if status.deaths and not status.model_id:
                    raise self.failure(status, f"while the cluster started; {self.directory.root} is kept")
            if time.monotonic() > deadline:
                raise ClipperException(
                    f"Cluster {self.name} did not serve within {_START_TIMEOUT_S:.0f} s; see {self.directory.logs}"
                )
            if probes[0]():
                probes.pop(0)
            else:
                time.sleep(_POLL_INTERVAL_S)
