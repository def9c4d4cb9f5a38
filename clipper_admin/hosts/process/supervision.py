"""The supervisor from its user's side: started, replaced when it was killed, given orders, ended.

Who starts a supervisor, or ends a cluster that has none, holds the cluster's lock meanwhile, so that of several
commands at the same moment one does.
"""

import logging
import os
import signal
import subprocess
import time
from contextlib import suppress
from typing import Any

from clipper_admin.exceptions import ClipperException
from clipper_admin.hosts.identity import ProcessIdentity
from clipper_admin.hosts.process import control
from clipper_admin.hosts.process.directory import ClusterDirectory
from clipper_admin.hosts.process.environments import services_python
from clipper_admin.hosts.process.state import ClusterState, UnreadableState
from clipper_admin.logs import ClusterAdapter

_LOG = logging.getLogger(__name__)
# Of somebody else's: a start, a replacement, or a stop.
_OTHERS_TIMEOUT_S = 60.0
# All tiers one after the other, each with its full grace.
_STOP_TIMEOUT_S = 60.0
_KILL_TIMEOUT_S = 5.0
_POLL_INTERVAL_S = 0.05


class Supervision:
    """Sees to it that one cluster has a supervisor for as long as it runs."""

    def __init__(self, name: str, directory: ClusterDirectory) -> None:
        self._name = name
        self._directory = directory
        self._logger = ClusterAdapter(_LOG, name)

    def state(self) -> ClusterState | None:
        """What the cluster has written down; None when there is no cluster.

        Raises:
            UnreadableState: that cannot be read, and there is no supervisor to write it again.
        """
        with suppress(UnreadableState):
            if (state := ClusterState.read(self._directory.state_file)) is not None:
                return state
        # A supervisor knows it by heart.
        with suppress(control.SupervisorUnreachable):
            control.order(self._directory.control_socket, "write_state")
        return ClusterState.read(self._directory.state_file)

    def begin(self, lock: int) -> None:
        """Starts a supervisor, which has the cluster run as its state says, and hands the cluster's lock over to it.

        Raises:
            ClipperException: it cannot be started; with the end of its log.
        """
        command = (services_python(), "-P", "-m", "clipper_admin.hosts.process", str(self._directory.root), str(lock))
        with self._directory.log_file(control.SUPERVISOR).open("ab") as log:
            detached = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=(lock,), check=False
            )
        if detached.returncode != 0:
            raise ClipperException(
                f"The cluster's supervisor cannot be started:\n{self._directory.log_tail(control.SUPERVISOR)}"
            )

    def ensure(self) -> ClusterState | None:
        """Replaces a supervisor that was killed while its cluster runs on; returns the cluster's state.

        Raises:
            UnreadableState: as `state`.
            ClipperException: there is no other to be had.
        """
        deadline = time.monotonic() + _OTHERS_TIMEOUT_S
        while (state := self.state()) is not None and state.is_orphaned():
            lock = self._directory.try_lock()
            if lock is not None:
                self._replace(lock)
            elif time.monotonic() > deadline:
                raise self._busy()
            else:
                time.sleep(_POLL_INTERVAL_S)
        return state

    def order(self, operation: str, **arguments: Any) -> Any:
        """Has the supervisor, or its successor, carry out an operation that is safe to repeat, and returns its result.

        Raises:
            ClipperException: the cluster does not run, the supervisor hangs, or it refused.
        """
        try:
            return self._order(operation, **arguments)
        except control.SupervisorUnreachable:
            if not self._was_just_killed():
                raise
            return self._order(operation, **arguments)

    def end(self, *, graceful: bool, forget: bool) -> None:
        """Ends all processes of the cluster, by force where its supervisor does not; nothing happens when none runs.

        Args:
            graceful: whether they may finish what they have.
            forget: whether the cluster is to leave nothing behind but its logs.
        """
        deadline = time.monotonic() + _OTHERS_TIMEOUT_S
        while not self._ended_by_supervisor(graceful, forget):
            lock = self._directory.try_lock()
            if lock is not None:
                self._end_by_force(lock, forget)
                return
            if time.monotonic() > deadline:
                raise self._busy()
            time.sleep(_POLL_INTERVAL_S)

    def end_leftovers(self) -> None:
        """Kills what still runs of a cluster without a supervisor, known to its state or not."""
        state = self._readable_state()
        known = [] if state is None else state.alive()
        for process in known:
            process.kill_group()
        for process in (*known, *ProcessIdentity.all_writing_to(self._directory.logs)):
            process.send(signal.SIGKILL)
            process.wait_until_gone(_KILL_TIMEOUT_S)

    def _order(self, operation: str, **arguments: Any) -> Any:
        self.ensure()
        try:
            return control.order(self._directory.control_socket, operation, **arguments)
        except control.SupervisorHangs as error:
            raise self._explained(error) from error

    def _was_just_killed(self) -> bool:
        """Whether the cluster runs without its supervisor, whose socket ends somewhat earlier than itself."""
        state = self.state()
        if state is None or state.supervisor is None:
            return False
        return state.supervisor.wait_until_gone(_KILL_TIMEOUT_S) and bool(state.alive())

    def _replace(self, lock: int) -> None:
        try:
            state = self.state()
            if state is not None and state.is_orphaned():
                self._logger.warning("The cluster's supervisor was killed; another one takes over what runs")
                self.begin(lock)
        finally:
            os.close(lock)

    def _ended_by_supervisor(self, graceful: bool, forget: bool) -> bool:
        """Has the supervisor, if there is one, end everything and itself; returns whether nothing is left to do."""
        if graceful:
            with suppress(ClipperException):
                self.ensure()
        try:
            arguments = {"graceful": graceful, "forget": forget}
            ordered = control.order(self._directory.control_socket, "shutdown", **arguments)
        except control.SupervisorUnreachable:
            self._kill_supervisor()
            return False
        supervisor = ProcessIdentity(**ordered)
        if not supervisor.wait_until_gone(_STOP_TIMEOUT_S):
            supervisor.send(signal.SIGKILL)
        state = self._readable_state()
        if state is None or state.supervisor != supervisor:
            return True
        return not forget and not state.alive()

    def _kill_supervisor(self) -> None:
        """Kills one that does not answer; without a state that names it, all that may be it."""
        state = self._readable_state()
        suspects = ProcessIdentity.all_writing_to(self._directory.logs) if state is None else [state.supervisor]
        for suspect in suspects:
            if suspect is not None:
                suspect.send(signal.SIGKILL)
                suspect.wait_until_gone(_KILL_TIMEOUT_S)

    def _end_by_force(self, lock: int, forget: bool) -> None:
        try:
            self.end_leftovers()
            if forget:
                self._directory.remove_images()
                self._directory.remove_state()
        finally:
            os.close(lock)

    def _readable_state(self) -> ClusterState | None:
        try:
            return self.state()
        except UnreadableState:
            return None

    def _explained(self, error: control.SupervisorHangs) -> ClipperException:
        state = self._readable_state()
        pid = state.supervisor.pid if state is not None and state.supervisor is not None else "?"
        return ClipperException(
            f"{error}: process {pid} is stopped or hangs. `kill -CONT {pid}` wakes one that was stopped; after "
            f"`kill -KILL {pid}` the next command replaces it. Services and replicas are not touched by that. "
            f"Its log: {self._directory.log_file(control.SUPERVISOR)}"
        )

    def _busy(self) -> ClipperException:
        return ClipperException(
            f"Another program has been starting or stopping cluster {self._name} for {_OTHERS_TIMEOUT_S:.0f} s; see "
            f"{self._directory.logs}"
        )
