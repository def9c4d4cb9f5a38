"""Redis's thread: an event loop on which whoever has to do with Redis has tasks. It decides nothing."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, Protocol

from services.common.lifecycle import BackgroundTasks, VitalThread
from services.store import Store

Work = Callable[[], Coroutine[Any, Any, None]]

_FINISH_S = 1.0
_LEAVE_S = 1.0


class Tenant(Protocol):
    """Who has tasks on the thread; all of its methods are called there."""

    @property
    def tasks(self) -> Mapping[str, Work]:
        """The tasks, by their names."""

    async def finish(self) -> None:
        """Returns when all is done that it was given; its tasks still run."""

    async def leave(self) -> None:
        """Says and saves what is left; its tasks have ended."""


class RedisThread:
    """The thread.

    Args:
        store: used on this thread alone, and closed with it.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._thread = VitalThread(target=self._run, name="redis")
        self._tenants: tuple[Tenant, ...] = ()
        self._started = threading.Event()
        self._stop = asyncio.Event()

    def start(self, *tenants: Tenant) -> None:
        """Starts the thread with these tenants; Redis need not be there."""
        self._tenants = tenants
        self._thread.start()
        self._started.wait()

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Has the thread call something, from its start to its end; any thread may ask."""
        self._loop.call_soon_threadsafe(callback)

    def close(self) -> None:
        """Ends the thread when all is done that its tenants were given, or after some 2 seconds; safe to repeat."""
        if self._thread.is_alive():
            self.call_soon(self._stop.set)
            self._thread.join()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        tasks = BackgroundTasks()
        for tenant in self._tenants:
            for name, work in tenant.tasks.items():
                tasks.start(name, work)
        self._started.set()
        await self._stop.wait()
        await _all(_FINISH_S, (tenant.finish() for tenant in self._tenants))
        await tasks.close()
        await _all(_LEAVE_S, (tenant.leave() for tenant in self._tenants))
        await self._store.close()


async def _all(within_s: float, ends: Iterable[Coroutine[Any, Any, None]]) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            await asyncio.gather(*ends)
