"""A thread for what may block, be it for ever: Redis's thread hands it over and goes on."""

import asyncio
import contextlib
import queue
from collections.abc import Callable
from typing import NamedTuple

from services.common.lifecycle import VitalThread


class _Job(NamedTuple):
    """What is to be done, and who waits for it."""

    work: Callable[[], None]
    loop: asyncio.AbstractEventLoop
    done: "asyncio.Future[None]"


class BlockingThread:
    """The thread, which does one thing after the other.

    Args:
        name: its name.
    """

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = VitalThread(target=self._run, name=name)

    async def do(self, work: Callable[[], None]) -> None:
        """Returns when it is done; what it raises is raised here. Who is cancelled does not wait, but it is done."""
        if not self._thread.is_alive():
            self._thread.start()
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        self._jobs.put(_Job(work, loop, done))
        await done

    def close(self) -> None:
        """Ends the thread once it is done with what it has begun, for which nobody waits; safe to repeat."""
        self._jobs.put(None)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            error: Exception | None = None
            try:
                job.work()
            except Exception as raised:
                error = raised
            # The loop may have ended meanwhile, and then nobody waits.
            with contextlib.suppress(RuntimeError):
                job.loop.call_soon_threadsafe(_tell, job.done, error)


def _tell(done: "asyncio.Future[None]", error: Exception | None) -> None:
    if done.done():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
