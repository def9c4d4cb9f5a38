"""The live catalogue: what is registered, as a query service knows it, kept up to date from the store.

A snapshot first, then the change stream; after a gap or an outage of Redis a new snapshot. While Redis is away, the
last known configuration stays in force.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable

from services.common.errors import StoreUnavailable
from services.common.lifecycle import BackgroundTasks
from services.common.records import Configuration
from services.common.store import RevisionGap, Store
from services.query.query_ids import QueryIds

_LOG = logging.getLogger(__name__)
_RETRY_S = 0.2
_RESERVE_CHECK_S = 60.0


class Catalog:
    """Follows the store on a thread of its own.

    Args:
        store: used by this object's thread alone.
        on_change: called on that thread with each new configuration, the first included.
    """

    def __init__(self, store: Store, on_change: Callable[[Configuration], None]) -> None:
        self._store = store
        self._on_change = on_change
        self._thread = threading.Thread(target=self._run, name="catalog", daemon=True)
        self._started = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._query_ids: QueryIds | None = None

    def start(self) -> QueryIds:
        """Starts following; returns when the first configuration has been taken over, however long Redis takes.

        Returns:
            The query ids that this service may use.

        Raises:
            StoreUnavailable: closed before Redis could be reached.
        """
        self._thread.start()
        self._started.wait()
        if self._query_ids is None:
            raise StoreUnavailable("The configuration store could not be reached")
        return self._query_ids

    def close(self) -> None:
        """Stops following; safe to repeat."""
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._follow_until_stopped())
        finally:
            self._started.set()

    async def _follow_until_stopped(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        tasks = BackgroundTasks()
        tasks.start("follow the store", self._follow())
        tasks.start("reserve query ids", self._keep_query_ids())
        try:
            await self._stop.wait()
        finally:
            await tasks.close()
            await self._store.close()

    async def _follow(self) -> None:
        reachable = True
        while True:
            try:
                if self._query_ids is None:
                    self._query_ids = QueryIds(await self._store.take_query_ids())
                await self._follow_from_snapshot()
            except RevisionGap as gap:
                _LOG.info("taking a new snapshot", extra={"cause": str(gap)})
            except StoreUnavailable as error:
                if reachable:
                    _LOG.warning("the store is away; the known configuration stays in force", exc_info=error)
                reachable = False
                await asyncio.sleep(_RETRY_S)
                continue
            reachable = True

    async def _follow_from_snapshot(self) -> None:
        configuration = await self._store.snapshot()
        self._on_change(configuration)
        self._started.set()
        async for revision, changes in self._store.follow(configuration.revision):
            configuration = configuration.apply(revision, changes)
            self._on_change(configuration)

    async def _keep_query_ids(self) -> None:
        while True:
            await asyncio.sleep(_RESERVE_CHECK_S)
            if self._query_ids is not None and self._query_ids.running_low:
                with contextlib.suppress(StoreUnavailable):
                    self._query_ids.reserve(await self._store.take_query_ids())
