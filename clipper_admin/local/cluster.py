"""The services of a cluster of local processes from their user's side: started, found again, stopped."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from clipper_admin.exceptions import ClipperException
from clipper_admin.local import control
from clipper_admin.local.directory import ClusterDirectory
from clipper_admin.local.environments import services_python
from clipper_admin.local.identity import ProcessIdentity
from clipper_admin.local.layout import ClusterOptions, lay_out
from clipper_admin.local.process import ProcessStatus
from clipper_admin.local.state import Addresses, ClusterState
from clipper_admin.readiness import is_serving

_QUERY_SERVICE = "clipper.v1.QueryService"
_MANAGEMENT_SERVICE = "clipper.v1.ManagementService"
_SUPERVISOR = control.SUPERVISOR
_START_TIMEOUT_S = 60.0
# All tiers one after the other, each with its full grace.
_STOP_TIMEOUT_S = 60.0
_KILL_TIMEOUT_S = 5.0
_POLL_INTERVAL_S = 0.05


class LocalCluster:
    """The services of one cluster; the running one, if there is one, is found by its directory."""

    def __init__(self, name: str, home: Path) -> None:
        self.name = name
        self.directory = ClusterDirectory(home / "clusters" / name)

    def start(self, options: ClusterOptions) -> Addresses:
        """Starts the services and returns when all of them serve.

        Raises:
            ClipperException: the cluster runs already, a port is taken, a program is missing or a service died.
        """
        self.directory.create()
        lock = self.directory.try_lock()
        if lock is None:
            raise self._exists_already()
        try:
            state = ClusterState.read(self.directory.state_file)
            if state is not None and state.alive():
                raise self._exists_already()
            self.directory.prepare()
            state = lay_out(self.directory, options)
            state.write(self.directory.state_file)
            self._detach_supervisor(lock)
        finally:
            os.close(lock)
        try:
            self._wait_until_serving(state.addresses)
        except BaseException:
            self.stop(graceful=False)
            raise
        return state.addresses

    def state(self) -> ClusterState:
        """The running cluster.

        Raises:
            ClipperException: it does not run.
        """
        state = ClusterState.read(self.directory.state_file)
        if state is None or not state.alive():
            raise ClipperException(
                f"There is no running cluster {self.name} in {self.directory.root}. "
                "ClipperConnection.start_clipper starts one"
            )
        return state

    def processes(self) -> list[ProcessStatus]:
        """How its processes stand."""
        statuses = control.order(self.directory.control_socket, "status")
        return [ProcessStatus.from_json(status) for status in statuses]

    def stop(self, graceful: bool) -> None:
        """Stops everything and forgets the cluster, but for its logs; nothing happens when nothing runs."""
        try:
            supervisor = ProcessIdentity(**control.order(self.directory.control_socket, "shutdown", graceful=graceful))
        except control.SupervisorUnreachable:
            self._kill_survivors()
        else:
            if not supervisor.wait_until_gone(_STOP_TIMEOUT_S):
                self._kill_survivors()

    def failure(self, status: ProcessStatus, circumstance: str) -> ClipperException:
        """What to raise for a process that died: how it did, and the end of its log."""
        return ClipperException(
            f"{status.name} ended with exit code {status.exit_code} {circumstance}. "
            f"The end of its log ({self.directory.log_file(status.name)}):\n{self.directory.log_tail(status.name)}"
        )

    def _detach_supervisor(self, lock: int) -> None:
        command = (services_python(), "-P", "-m", "clipper_admin.local", str(self.directory.root), str(lock))
        with self.directory.log_file(_SUPERVISOR).open("ab") as log:
            detached = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=(lock,), check=False
            )
        if detached.returncode != 0:
            raise ClipperException(
                f"The cluster's supervisor cannot be started:\n{self.directory.log_tail(_SUPERVISOR)}"
            )

    def _wait_until_serving(self, addresses: Addresses) -> None:
        probes: list[Callable[[], bool]] = [
            *(lambda address=address: is_serving(address, _QUERY_SERVICE) for address in addresses.query_services),
            lambda: is_serving(addresses.query, _QUERY_SERVICE),
            lambda: is_serving(addresses.admin, _MANAGEMENT_SERVICE),
        ]
        deadline = time.monotonic() + _START_TIMEOUT_S
        while probes:
            for status in self.processes():
                if status.deaths:
                    raise self.failure(status, "while the cluster started")
            if time.monotonic() > deadline:
                raise ClipperException(
                    f"Cluster {self.name} did not serve within {_START_TIMEOUT_S:.0f} s; see {self.directory.logs}"
                )
            if probes[0]():
                probes.pop(0)
            else:
                time.sleep(_POLL_INTERVAL_S)

    def _kill_survivors(self) -> None:
        """Ends what is left of a cluster whose supervisor is lost or stuck."""
        state = ClusterState.read(self.directory.state_file)
        if state is None:
            return
        for survivor in state.alive():
            survivor.send(signal.SIGKILL)
            survivor.wait_until_gone(_KILL_TIMEOUT_S)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(survivor.pid, signal.SIGKILL)
        self.directory.remove_images()
        self.directory.remove_state()

    def _exists_already(self) -> ClipperException:
        return ClipperException(
            f"Cluster {self.name} cannot be started because it already exists. "
            "Please use ClipperConnection.connect() to connect to it."
        )
