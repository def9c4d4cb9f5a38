"""A child process as its parent has it: started, asked for its counts, ended when frozen, started again, drained."""

import contextlib
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing import Pipe
from multiprocessing.connection import Connection

from services.common.lifecycle import VitalThread
from services.query.processes.heartbeat import Pulse
from services.query.processes.pipes import CHILD, Order, Question
from services.query.telemetry.counts import Counts

_LOG = logging.getLogger(__name__)
# A child that does not answer sooner is stuck or busy beyond measure; what it said last has to do.
_COUNTS_WITHIN_S = 1.0
_FIRST_BACK_OFF_S = 0.1
_LONGEST_BACK_OFF_S = 5.0
# A child that lived longer did not die of how it was started.
_LONG_LIFE_S = 30.0
_CANNOT_START = 1


class ChildProcess:
    """One of the processes that serve, on a thread that waits for its end.

    A child that ends before it has served even once is not started again: what keeps it from serving is in how the
    service was started.

    Attributes:
        index: tells it from its siblings.
        has_served: whether it ever did.
        is_behind: whether it serves without following the configuration.
        exit_code: how its last life ended, as a shell would put it; 0 while nothing ended badly.
    """

    def __init__(
        self,
        index: int,
        address: str,
        total: Callable[[], Counts],
        on_settled: Callable[["ChildProcess"], None],
        on_follows: Callable[[], None],
    ) -> None:
        """Starts it.

        Args:
            index: tells it from its siblings.
            address: host:port to serve on, together with them.
            total: the counts of all the service, for a child that is asked for them.
            on_settled: called once, on the thread, when it serves for the first time or ends without.
            on_follows: called, on the thread, when it serves, and whenever `is_behind` has changed.
        """
        self.index = index
        self.has_served = False
        self.is_behind = False
        self.exit_code = 0
        self._address = address
        self._total = total
        self._on_settled = on_settled
        self._on_follows = on_follows
        self._lock = threading.Lock()  # guards all that follows but the thread
        self._orders: Connection | None = None
        self._serving = False
        self._asked = False
        self._past = Counts.total([], time.monotonic())
        self._present = self._past
        self._draining = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._feeling = threading.Lock()  # guards what follows, and is never held for long
        self._pulse: Pulse | None = None
        self._thread = VitalThread(target=self._run, name=f"child {index}")
        self._thread.start()

    def counts(self) -> Counts:
        """What it has counted in all its lives: as of now, or of the last time that it answered. Any thread."""
        with self._lock:
            if self._serving and self._orders is not None:
                self._ask(self._orders)
            return Counts.total([self._past, self._present], time.monotonic())

    def tell(self, order: Order) -> None:
        """Gives it an order that it does not answer; without effect when it does not run. Any thread."""
        with self._lock:
            if self._orders is not None:
                _say(self._orders, order)

    def drain(self) -> None:
        """Has it answer what it was asked and end, for good; safe to repeat. Any thread."""
        with self._lock:
            self._draining.set()
            if self._orders is not None:
                _say(self._orders, Order.DRAIN)

    def kill(self) -> None:
        """Ends it at once, for good; safe to repeat. Any thread."""
        with self._lock:
            self._draining.set()
            if self._process is not None:
                self._process.kill()

    def look(self) -> None:
        """Ends it when it is frozen, so that it is started again; to be called every BEAT_S, by one thread."""
        process = self._process
        with self._feeling:
            is_lost = process is not None and self._pulse is not None and self._pulse.is_lost(process.pid)
        if process is not None and is_lost:
            _LOG.error("a process gives no sign of life and is ended", extra={"process_index": self.index})
            process.kill()

    def wait(self) -> None:
        """Waits until it has ended for good."""
        self._thread.join()

    def _run(self) -> None:
        back_off_s = _FIRST_BACK_OFF_S
        while not self._draining.is_set():
            started_s = time.monotonic()
            self.exit_code = self._live()
            if not self.has_served:
                self._on_settled(self)
                return
            if self._draining.is_set():
                return
            if time.monotonic() - started_s > _LONG_LIFE_S:
                back_off_s = _FIRST_BACK_OFF_S
            extra = {"process_index": self.index, "exit_code": self.exit_code, "after_s": back_off_s}
            _LOG.warning("a process ended and is started again", extra=extra)
            self.exit_code = 0
            self._draining.wait(back_off_s)
            back_off_s = min(_LONGEST_BACK_OFF_S, 2 * back_off_s)

    def _live(self) -> int:
        """One life: starts the process and answers it until it ends; returns its exit code."""
        orders, its_orders = Pipe()
        questions, its_questions = Pipe()
        with orders, questions, contextlib.closing(Pulse()) as pulse:
            with its_orders, its_questions, self._lock:
                try:
                    its_ends = (its_orders.fileno(), its_questions.fileno(), pulse.its_end)
                    process = self._process = self._start(its_ends)
                except OSError:
                    _LOG.exception("process %d cannot be started", self.index)
                    return _CANNOT_START
                self._orders = orders
                self._feel(pulse)
                if self._draining.is_set():
                    _say(orders, Order.DRAIN)
            self._answer(questions)
            code = process.wait()
            self._note_end()
        return code if code >= 0 else 128 - code

    def _start(self, pipes: tuple[int, ...]) -> subprocess.Popen[bytes]:
        # The same command, so that the child is what the parent would have been alone. In a process group of its own,
        # it is the parent alone that hears what is typed at a terminal.
        return subprocess.Popen(
            [sys.executable, *sys.orig_argv[1:], CHILD, *map(str, (self.index, os.getpid(), *pipes))],
            env={**os.environ, "CLIPPER_ADDRESS": self._address},
            pass_fds=pipes,
            process_group=0,
        )

    def _answer(self, questions: Connection) -> None:
        """Answers the child until it has gone."""
        try:
            while True:
                question = questions.recv()
                if question is Question.TOTAL:
                    questions.send(self._total())
                elif question is Question.SERVES:
                    self._serve()
                else:
                    self._note_behind(question is Question.IS_BEHIND)
        except (EOFError, OSError):
            return

    def _serve(self) -> None:
        with self._lock:
            self._serving = True
        if not self.has_served:
            self.has_served = True
            self._on_settled(self)
        self._on_follows()

    def _note_behind(self, is_behind: bool) -> None:
        self.is_behind = is_behind
        self._on_follows()

    def _ask(self, orders: Connection) -> None:
        """Has the present counts brought up to date; it is asked once, however often it did not answer in time."""
        up_to_date = False
        try:
            while not up_to_date:
                up_to_date = not self._asked
                if not self._asked:
                    orders.send(Order.COUNT)
                    self._asked = True
                if not orders.poll(_COUNTS_WITHIN_S):
                    return
                self._present = orders.recv()
                self._asked = False
        except (EOFError, OSError):
            self._serving = False

    def _feel(self, pulse: Pulse | None) -> None:
        with self._feeling:
            self._pulse = pulse

    def _note_end(self) -> None:
        with self._lock:
            now_s = time.monotonic()
            self._past = Counts.total([self._past, self._present], now_s).of_the_past()
            self._present = Counts.total([], now_s)
            self._orders = self._process = None
            self._feel(None)
            self._serving = self._asked = False
        if self.is_behind:
            self._note_behind(False)


def _say(orders: Connection, order: Order) -> None:
    try:
        orders.send(order)
    except OSError:
        _LOG.debug("a process was gone before it could be told", extra={"order": order.name})
