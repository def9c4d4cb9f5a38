"""The live catalogue: what is registered, as a query service knows it, kept up to date from the store.

A snapshot first, then the change stream; after a gap, a change that cannot be read or an outage of Redis a new
snapshot. While Redis is away, the last known configuration stays in force. What is in force is acknowledged to the
store, so that whoever changes something can wait until it is.

A Redis that holds another store than the one that was followed, or an older copy of it, is as good as away: it is
looked at until the right one is back. Who starts anew knows of none, and follows what is there.

A catalogue that does not follow though its store is there, because it failed or stands still, is behind for nobody
knows how long: it says so, for the service's health.
"""

import asyncio
import contextlib
import functools
import logging
import threading
import time
import uuid
from collections.abc import Callable

from services.common.errors import StoreReplaced, StoreUnavailable
from services.common.lifecycle import BackgroundTasks, VitalThread
from services.common.quarantine import Quarantine
from services.common.records import Configuration
from services.common.store import RevisionGap, Store, UnreadableChange
from services.query.query_ids import FIRST_BLOCK, QueryIds

_LOG = logging.getLogger(__name__)
_RETRY_S = 0.2
_SAME_GAP_S = 1.0
_RESERVE_CHECK_S = 1.0
# A service that was killed holds up changes for as long; one that is frozen for longer is not waited for.
_FOLLOWER_LIVES_S = 3.0
_FAREWELL_S = 0.5
_PULSE_S = 0.25

TakeOver = Callable[[Configuration, Callable[[], None]], None]


class Catalog:
    """Follows the store on a thread of its own.

    Args:
        store: used by this object's thread alone.
        take_over: called on that thread with each new configuration, the first included, and with what is to be
            called, on any thread, when it or a later one is in force.
        quarantine: told of changes that cannot be read.
    """

    def __init__(self, store: Store, take_over: TakeOver, quarantine: Quarantine) -> None:
        self._store = store
        self._take_over = take_over
        self._quarantine = quarantine
        self._follower = uuid.uuid4().hex
        self._in_force: int | None = None
        self._thread = VitalThread(target=self._run, name="catalog")
        self._started = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._came_into_force: asyncio.Event | None = None
        self._query_ids: QueryIds | None = None
        self._is_loaded = False
        # Whether it follows, or cannot as its store is away; and when that was last so, as the thread itself says.
        self._is_well = False
        self._well_s = time.monotonic()
        self._is_reachable = True
        self._refusal: str | None = None
        self._last_gap: int | None = None

    def start(self) -> QueryIds:
        """Starts following; returns when the first configuration has been taken over, however long Redis takes.

        Returns:
            The query ids that this service may use.

        Raises:
            StoreUnavailable: closed before Redis could be reached.
        """
        self._thread.start()
        self._started.wait()
        if self._query_ids is None or not self._is_loaded:
            raise StoreUnavailable("The configuration store could not be reached")
        return self._query_ids

    def close(self) -> None:
        """Stops following; safe to repeat."""
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        if self._thread.is_alive():
            self._thread.join()

    @property
    def is_behind(self) -> bool:
        """Whether it has not followed for some seconds, after which no change waits for it, though Redis answers.

        Any thread may ask.
        """
        return time.monotonic() - self._well_s > _FOLLOWER_LIVES_S

    @property
    def refuses_store(self) -> bool:
        """Whether Redis holds another store than the one that was followed. Any thread may ask."""
        return self._refusal is not None

    def _run(self) -> None:
        try:
            asyncio.run(self._follow_until_stopped())
        finally:
            self._started.set()

    async def _follow_until_stopped(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        came_into_force = self._came_into_force = asyncio.Event()
        tasks = BackgroundTasks()
        tasks.start("follow the store", self._follow)
        tasks.start("pulse", self._pulse)
        tasks.start("acknowledge changes", lambda: self._acknowledge(came_into_force))
        tasks.start("reserve query ids", self._keep_query_ids)
        try:
            await self._stop.wait()
        finally:
            await tasks.close()
            await self._say_farewell()
            await self._store.close()

    async def _follow(self) -> None:
        """Follows for ever; whatever else than an outage or a gap interrupts it, ends it."""
        try:
            while True:
                await self._follow_until_interrupted()
        finally:
            self._is_well = False

    async def _follow_until_interrupted(self) -> None:
        try:
            if self._query_ids is None:
                self._query_ids = QueryIds(await self._store.take_query_ids(FIRST_BLOCK))
            await self._follow_from_snapshot()
        except RevisionGap as gap:
            await self._bridge(gap)
        except StoreReplaced as error:
            self._refuse(str(error))
            await asyncio.sleep(_RETRY_S)
        except StoreUnavailable as error:
            if self._is_reachable:
                _LOG.warning("the store is away; the known configuration stays in force", exc_info=error)
            self._is_reachable = False
            self._is_well = not await self._store_answers()
            await asyncio.sleep(_RETRY_S)

    async def _follow_from_snapshot(self) -> None:
        configuration = await self._store.snapshot()
        self._follow_to(configuration)
        self._is_loaded = True
        self._started.set()
        async for revision, changes in self._store.follow(configuration.revision):
            configuration = configuration.apply(revision, changes)
            self._follow_to(configuration)

    async def _bridge(self, gap: RevisionGap) -> None:
        """Prepares for a new snapshot, unhurriedly if the last one has led to the same gap.

        What is in the way then is none of management's changes, and gone with its next one.
        """
        if isinstance(gap, UnreadableChange):
            self._quarantine.skip_change(gap.revision + 1, str(gap))
        if gap.revision == self._last_gap:
            await asyncio.sleep(_SAME_GAP_S)
        else:
            _LOG.info("taking a new snapshot", extra={"cause": str(gap)})
        self._last_gap = gap.revision

    def _refuse(self, why: str) -> None:
        """Stays with what is known: the store is away, which is no reason to stop serving."""
        if why != self._refusal:
            _LOG.error("the store is refused; the known configuration stays in force", extra={"cause": why})
        self._refusal = why
        self._is_well = self._is_reachable = True

    def _follow_to(self, configuration: Configuration) -> None:
        self._take_over(configuration, functools.partial(self._post_in_force, configuration.revision))
        if self._refusal is not None:
            _LOG.info("the store that was known is back")
            self._refusal = None
        self._is_well = self._is_reachable = True
        self._well_s = time.monotonic()

    async def _store_answers(self) -> bool:
        try:
            await self._store.ping()
        except StoreUnavailable:
            return False
        return True

    async def _pulse(self) -> None:
        while True:
            if self._is_well:
                self._well_s = time.monotonic()
            await asyncio.sleep(_PULSE_S)

    async def _say_farewell(self) -> None:
        if self._refusal is None:
            with contextlib.suppress(StoreUnavailable, TimeoutError):
                async with asyncio.timeout(_FAREWELL_S):
                    await self._store.stop_following(self._follower)

    def _post_in_force(self, revision: int) -> None:
        if self._loop is not None and self._came_into_force is not None:
            self._in_force = revision
            self._loop.call_soon_threadsafe(self._came_into_force.set)

    async def _acknowledge(self, came_into_force: asyncio.Event) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(came_into_force.wait(), _FOLLOWER_LIVES_S / 3)
            came_into_force.clear()
            if self._is_well and self._refusal is None and self._in_force is not None:
                with contextlib.suppress(StoreUnavailable):
                    await self._store.acknowledge(self._follower, self._in_force, _FOLLOWER_LIVES_S)

    async def _keep_query_ids(self) -> None:
        while True:
            await asyncio.sleep(_RESERVE_CHECK_S)
            if self._query_ids is not None and (count := self._query_ids.wanted):
                with contextlib.suppress(StoreUnavailable):
                    self._query_ids.reserve(await self._store.take_query_ids(count))
