"""The supervisor: owns the processes of one cluster from the first start to the last exit.

It starts them tier by tier, keeps them alive, takes orders on the control socket, and on a shutdown order, SIGTERM or
SIGINT stops them tier by tier in the reverse order, removes the cluster's state and ends. It knows nothing of Clipper:
what to run is told to it.
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

from clipper_admin.local.directory import ClusterDirectory
from clipper_admin.local.identity import ProcessIdentity
from clipper_admin.local.ports import LOOPBACK
from clipper_admin.local.process import ProcessState, SupervisedProcess
from clipper_admin.local.specification import ProcessSpec
from clipper_admin.local.state import ClusterState, ProcessRecord

_LOG = logging.getLogger(__name__)
_PROBE_INTERVAL_S = 0.02

Operation = Callable[..., Awaitable[Any]]


class Supervisor:
    """Runs one cluster's processes."""

    def __init__(self, directory: ClusterDirectory, planned: ClusterState, identity: ProcessIdentity) -> None:
        """Takes what to run.

        Args:
            directory: the cluster's files.
            planned: the cluster's addresses and the processes to begin with.
            identity: the supervisor's own.
        """
        self._directory = directory
        self._addresses = planned.addresses
        self._planned = [record.spec for record in planned.processes]
        self._identity = identity
        self._processes: dict[str, SupervisedProcess] = {}
        self._shutdown_asked = asyncio.Event()
        self._graceful = True

    @property
    def operations(self) -> dict[str, Operation]:
        """What can be ordered on the control socket, by name."""
        return {"status": self._status, "start": self._start, "stop": self._stop, "shutdown": self._shutdown}

    async def run(self, listener: socket.socket, serve: Callable[..., Awaitable[asyncio.Server]]) -> None:
        """Serves until it is told to shut down, and until everything has ended.

        Args:
            listener: the bound control socket.
            serve: serves the operations on it.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._shutdown_asked.set)
        server = await serve(listener, self.operations)
        starting = asyncio.create_task(self._start_tiers(), name="start of the tiers")
        await self._shutdown_asked.wait()
        starting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await starting
        await self._stop_tiers()
        server.close()
        self._directory.remove_images()
        self._directory.remove_state()

    async def _status(self) -> list[dict[str, Any]]:
        return [dataclasses.asdict(process.status) for process in self._processes.values()]

    async def _start(self, specs: list[dict[str, Any]]) -> None:
        if self._shutdown_asked.is_set():
            raise ValueError("the cluster is stopping")
        for values in specs:
            self._add(ProcessSpec.from_json(values))

    async def _stop(self, names: list[str], graceful: bool) -> None:
        await self._stop_processes([self._processes[name] for name in names if name in self._processes], graceful)

    async def _shutdown(self, graceful: bool) -> dict[str, Any]:
        self._graceful = graceful
        self._shutdown_asked.set()
        return dataclasses.asdict(self._identity)

    async def _start_tiers(self) -> None:
        by_tier = sorted(self._planned, key=lambda spec: spec.tier)
        for _tier, specs in groupby(by_tier, key=lambda spec: spec.tier):
            await asyncio.gather(*(_accepting(self._add(spec).spec) for spec in specs))

    async def _stop_tiers(self) -> None:
        by_tier = sorted(self._processes.values(), key=lambda process: process.spec.tier, reverse=True)
        for _tier, processes in groupby(by_tier, key=lambda process: process.spec.tier):
            await self._stop_processes(list(processes), self._graceful)

    def _add(self, spec: ProcessSpec) -> SupervisedProcess:
        if spec.name in self._processes:
            raise ValueError(f"there is a process {spec.name} already")
        process = SupervisedProcess(spec, self._directory.log_file(spec.name), self._write_state)
        self._processes[spec.name] = process
        process.start()
        return process

    async def _stop_processes(self, processes: Iterable[SupervisedProcess], graceful: bool) -> None:
        processes = list(processes)
        await asyncio.gather(*(process.stop(graceful) for process in processes))
        for process in processes:
            self._processes.pop(process.spec.name, None)
        self._write_state()

    def _write_state(self) -> None:
        records = [
            ProcessRecord(process.spec, process.identity)
            for process in self._processes.values()
            if process.status.state is not ProcessState.STOPPED
        ]
        try:
            ClusterState(self._addresses, tuple(records), self._identity).write(self._directory.state_file)
        except OSError:
            # A full disk is no reason to stop watching over the processes.
            _LOG.exception("the state cannot be written")


async def _accepting(spec: ProcessSpec) -> None:
    """Waits until a process accepts connections on its port; one without a port is ready at once."""
    while spec.ready_port:
        try:
            _reader, writer = await asyncio.open_connection(LOOPBACK, spec.ready_port)
        except OSError:
            await asyncio.sleep(_PROBE_INTERVAL_S)
        else:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            return
