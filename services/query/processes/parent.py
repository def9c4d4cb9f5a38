"""A query service of several processes: a parent that never serves, and children that serve on one port.

An interpreter computes on one core, so this is how a service takes more. The kernel spreads connections, not calls,
over the children. Each has an engine, a cache, a catalogue and links of its own, as if it were a service; what makes
them one is the address, the metrics and the end.
"""

import contextlib
import logging
import queue
import threading
import time

from services.common.lifecycle import VitalThread
from services.query.processes.child_process import ChildProcess
from services.query.processes.heartbeat import BEAT_S
from services.query.processes.pipes import Order
from services.query.processes.port_claim import PortClaim
from services.query.settings import Settings
from services.query.telemetry.counts import Counts
from services.query.telemetry.exposition import CountsCollector
from services.query.telemetry.metrics_port import MetricsPort

_LOG = logging.getLogger(__name__)


class Processes:
    """The children of one service, and the metrics of all of them."""

    def __init__(self, settings: Settings) -> None:
        """Starts the children.

        Raises:
            OSError: an address cannot be bound.
        """
        self._settled: queue.SimpleQueue[ChildProcess] = queue.SimpleQueue()
        self._telling = threading.Lock()
        self._children: list[ChildProcess] = []
        with contextlib.ExitStack() as on_failure:
            self._claim = PortClaim(settings.address)
            on_failure.callback(self._claim.close)
            self._metrics = MetricsPort(settings.metrics_address, CountsCollector(self.counts))
            on_failure.pop_all()
        self._children = [
            ChildProcess(index, self._claim.address, self.counts, self._settled.put, self._tell_whether_all_follow)
            for index in range(settings.processes)
        ]
        self._have_ended = threading.Event()
        self._watch = VitalThread(target=self._look, name="watch")
        self._watch.start()

    def wait_until_serving(self) -> ChildProcess | None:
        """Waits until all children serve, or one of them has ended instead, which is returned."""
        for _ in self._children:
            child = self._settled.get()
            if not child.has_served:
                _LOG.error(
                    "a process did not start", extra={"process_index": child.index, "exit_code": child.exit_code}
                )
                return child
        _LOG.info("serving", extra={"port": self._claim.port, "metrics_port": self._metrics.port})
        return None

    def counts(self) -> Counts:
        """What all children have counted. Any thread."""
        return Counts.total([child.counts() for child in self._children], time.monotonic())

    def drain(self) -> None:
        """Has all children answer what they were asked, and waits for their end."""
        for child in self._children:
            child.drain()
        self._end()
        _LOG.info("drained")

    def kill(self) -> None:
        """Ends all children at once."""
        for child in self._children:
            child.kill()
        self._end()

    def _tell_whether_all_follow(self) -> None:
        with self._telling:
            is_one_behind = any(child.is_behind for child in self._children)
            for child in self._children:
                child.tell(Order.ONE_IS_BEHIND if is_one_behind else Order.ALL_FOLLOW)

    @property
    def exit_code(self) -> int:
        """The worst of the children's."""
        return max(child.exit_code for child in self._children)

    def _look(self) -> None:
        while not self._have_ended.wait(BEAT_S):
            for child in self._children:
                child.look()

    def _end(self) -> None:
        for child in self._children:
            child.wait()
        self._have_ended.set()
        self._watch.join()
        self._metrics.close()
        self._claim.close()
