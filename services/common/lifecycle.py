"""Life and death of a service: signals, and background tasks that somebody owns.

The first SIGTERM or SIGINT asks for a drain; a second one ends the process at once.
"""

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Coroutine
from types import FrameType
from typing import Any

_LOG = logging.getLogger(__name__)
# `asyncio.wait_for`, with which redis-py waits, may swallow a cancellation up to Python 3.11.
_CANCEL_AGAIN_S = 0.5


def end_at_once_on_signals() -> None:
    """Until a StopSignal takes over, SIGTERM and SIGINT end the process: there is nothing to drain yet.

    Said explicitly, because the first process of a container has no default action for them.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _frame: os._exit(128 + number))


class StopSignal:
    """Set by the first SIGTERM or SIGINT. Install it from the main thread."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)

    def wait(self) -> None:
        """Blocks the main thread until the signal comes."""
        self._stopped.wait()

    async def wait_async(self) -> None:
        """Waits on an event loop until the signal comes."""
        await asyncio.to_thread(self._stopped.wait)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self._stopped.is_set():
            os._exit(128 + number)
        _LOG.info("draining", extra={"signal": signal.Signals(number).name})
        self._stopped.set()


class BackgroundTasks:
    """The background tasks of one owner: each has a name, is reported when it ends unasked, and ends with its owner."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Runs `work` until it ends or the owner closes."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def close(self) -> None:
        """Cancels what still runs and waits for it; safe to repeat."""
        self._closing = True
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks, timeout=_CANCEL_AGAIN_S)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not self._closing:
            _LOG.error("background task %s failed", task.get_name(), exc_info=error)
