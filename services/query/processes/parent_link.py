"""The parent as a child has it: told what the child counts, asked what all have counted, and obeyed when it orders."""

import contextlib
import logging
import os
import queue
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

import orjson

from services.common.lifecycle import VitalThread
from services.common.status import from_exception
from services.query.api import protobuf
from services.query.front import UnaryCall
from services.query.processes.pipes import Order, Question
from services.query.telemetry.counts import Counts
from services.query.telemetry.exposition import as_json

_LOG = logging.getLogger(__name__)


class ParentLink:
    """The pipes to the parent, each with a thread that listens to it."""

    def __init__(self, orders: Connection, questions: Connection) -> None:
        """Takes the pipes: what the parent wants, and what this process wants."""
        self._orders = orders
        self._questions = questions
        self._asking_lock = threading.Lock()
        self._counts: Callable[[], Counts] | None = None
        self._told_to_drain = threading.Event()
        self._is_behind = False
        self._is_one_behind = False
        self._calls: queue.SimpleQueue[UnaryCall | None] = queue.SimpleQueue()
        VitalThread(target=self._obey, name="orders").start()
        self._asking = VitalThread(target=self._ask, name="questions")
        self._asking.start()

    def say_serving(self, counts: Callable[[], Counts]) -> None:
        """Tells the parent that this process serves, and what it counts from now on."""
        self._counts = counts
        with self._asking_lock:
            self._questions.send(Question.SERVES)
        _LOG.info("process serving")

    def is_one_behind(self, is_behind: bool) -> bool:
        """Tells the parent whether this process is behind; returns whether it or any other is. For one thread."""
        if is_behind != self._is_behind:
            self._is_behind = is_behind
            with contextlib.suppress(OSError), self._asking_lock:
                self._questions.send(Question.IS_BEHIND if is_behind else Question.FOLLOWS)
        return is_behind or self._is_one_behind

    def wait_for_drain(self) -> None:
        """Blocks until the parent orders to drain."""
        self._told_to_drain.wait()

    def get_metrics(self, call: UnaryCall, _message: bytes) -> None:
        """QueryService.GetMetrics, for all processes."""
        self._calls.put(call)

    def close(self) -> None:
        """Asks nothing more; to be called when no call waits. Safe to repeat."""
        self._calls.put(None)
        self._asking.join()

    def _obey(self) -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                order = self._orders.recv()
                if order is Order.COUNT and self._counts is not None:
                    self._orders.send(self._counts())
                elif order is Order.DRAIN:
                    self._drain()
                else:
                    self._is_one_behind = order is Order.ONE_IS_BEHIND

    def _drain(self) -> None:
        if self._counts is None:
            os._exit(0)
        self._told_to_drain.set()

    def _ask(self) -> None:
        with contextlib.suppress(EOFError, OSError):
            while (call := self._calls.get()) is not None:
                with self._asking_lock:
                    self._questions.send(Question.TOTAL)
                total: Counts = self._questions.recv()
                _reply(call, total)


def _reply(call: UnaryCall, total: Counts) -> None:
    try:
        call.reply(protobuf.json_response(orjson.dumps(as_json(total, time.monotonic()))))
    except Exception as error:
        call.fail(from_exception(error))
