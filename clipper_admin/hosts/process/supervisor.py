"""The supervisor: has the processes of one cluster run as the cluster's state says, from whatever it finds.

It adopts those that live, and starts the others tier by tier: all of them in a new life of the cluster, none if it
takes the place of a supervisor that was killed. It keeps them alive and takes orders on the control socket. On a
shutdown order, SIGTERM or SIGINT it stops them tier by tier in the reverse order and ends; the cluster's state stays,
for its next life, unless the order was to forget it. It knows nothing of Clipper: what to run is told to it.
"""

import asyncio
import contextlib
import dataclasses
import logging
import signal
import socket
from collections.abc import Awaitable, Callable, Iterable
from itertools import groupby
from typing import Any

from clipper_admin.hosts.identity import ProcessIdentity
from clipper_admin.hosts.process.control import SUPERVISOR
from clipper_admin.hosts.process.directory import ClusterDirectory
from clipper_admin.hosts.process.log_files import LogFiles
from clipper_admin.hosts.process.process import ProcessSpec, SupervisedProcess, Tier
from clipper_admin.hosts.process.state import ClusterState, ProcessRecord

_LOG = logging.getLogger(__name__)

Operation = Callable[..., Awaitable[Any]]


class Supervisor:
    """Runs one cluster's processes."""

    def __init__(
        self, directory: ClusterDirectory, log_files: LogFiles, found: ClusterState, identity: ProcessIdentity
    ) -> None:
        """Takes over a cluster and writes that down.

        Args:
            directory: the cluster's files.
            log_files: the processes' logs and its own, which it keeps from growing without end.
            found: the cluster's addresses, what is to run, and what may run already.
            identity: the supervisor's own.
        """
        self._directory = directory
        self._log_files = log_files
        self._addresses = found.addresses
        self._identity = identity
        self._processes = {record.spec.name: self._process(record) for record in found.processes}
        self._shutdown_asked = asyncio.Event()
        self._graceful = True
        self._forget = False
        self._write_state()

    @property
    def operations(self) -> dict[str, Operation]:
        """What can be ordered on the control socket, by name."""
        return {
            "status": self._status,
            "write_state": self._write_state_again,
            "start": self._start,
            "stop": self._stop,
            "shutdown": self._shutdown,
        }

    async def run(self, listener: socket.socket, serve: Callable[..., Awaitable[asyncio.Server]]) -> None:
        """Serves until it is told to shut down, and until everything has ended.

        Args:
            listener: the bound control socket.
            serve: serves the operations on it.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._shutdown_asked.set)
        self._adopt()
        server = await serve(listener, self.operations)
        starting = asyncio.create_task(self._start_tiers(), name="start of the tiers")
        keeping_logs = asyncio.create_task(self._log_files.keep_bounded(), name="rotation of the logs")
        await self._shutdown_asked.wait()
        await _end(starting)
        await self._stop_tiers()
        await _end(keeping_logs)
        server.close()
        if self._forget:
            self._directory.remove_images()
            self._directory.remove_state()

    async def _status(self) -> list[dict[str, Any]]:
        return [
            {"spec": process.spec.to_json(), "status": dataclasses.asdict(process.status)}
            for process in self._processes.values()
        ]

    async def _write_state_again(self) -> None:
        self._write_state()

    async def _start(self, specs: list[dict[str, Any]]) -> None:
        """Safe to repeat, by who does not know whether an order has arrived."""
        if self._shutdown_asked.is_set():
            raise ValueError("the cluster is stopping")
        for spec in map(ProcessSpec.from_json, specs):
            known = self._processes.setdefault(spec.name, self._process(ProcessRecord(spec)))
            if known.spec != spec:
                raise ValueError(f"there is another process {spec.name} already")
            known.start()

    async def _stop(self, names: list[str], graceful: bool) -> None:
        stopped = [self._processes[name] for name in names if name in self._processes]
        await self._stop_processes(stopped, graceful)
        for process in stopped:
            self._processes.pop(process.spec.name, None)
        self._write_state()
        self._log_files.clear_away({*self._processes, SUPERVISOR})

    async def _shutdown(self, graceful: bool, forget: bool) -> dict[str, Any]:
        self._graceful = graceful
        self._forget = forget
        self._shutdown_asked.set()
        return dataclasses.asdict(self._identity)

    def _adopt(self) -> None:
        for process in self._processes.values():
            if process.lives:
                process.start()

    async def _start_tiers(self) -> None:
        for tier, processes in self._by_tier():
            for process in processes:
                process.start()
            if tier.is_awaited:
                await asyncio.gather(*(process.wait_until_ready() for process in processes))

    async def _stop_tiers(self) -> None:
        for _tier, processes in reversed(self._by_tier()):
            await self._stop_processes(processes, self._graceful)

    def _by_tier(self) -> list[tuple[Tier, list[SupervisedProcess]]]:
        ordered = sorted(self._processes.values(), key=lambda process: process.spec.tier)
        return [(tier, list(group)) for tier, group in groupby(ordered, key=lambda process: process.spec.tier)]

    def _process(self, record: ProcessRecord) -> SupervisedProcess:
        log_file = self._directory.log_file(record.spec.name)
        return SupervisedProcess(record.spec, log_file, self._write_state, record.identity)

    async def _stop_processes(self, processes: Iterable[SupervisedProcess], graceful: bool) -> None:
        await asyncio.gather(*(process.stop(graceful) for process in processes))

    def _write_state(self) -> None:
        # What was never started, or has stopped, is in there, too: it is what the cluster consists of.
        records = tuple(ProcessRecord(process.spec, process.identity) for process in self._processes.values())
        try:
            ClusterState(self._addresses, records, self._identity).write(self._directory.state_file)
        except OSError:
            # A full disk is no reason to stop watching over the processes.
            _LOG.exception("the state cannot be written")


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
