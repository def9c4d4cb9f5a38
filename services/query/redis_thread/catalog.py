"""The live catalogue: what is registered, as a query service knows it, kept up to date from the store.

A snapshot first, then the change stream; after a gap, a change that cannot be read or an outage of Redis a new
snapshot. While Redis is away, the last known configuration stays in force. What is in force is acknowledged to the
store, so that whoever changes something can wait until it is.

A Redis that holds another store than the one that was followed, or an older copy of it, is as good as away: it is
looked at until the right one is back. Who starts anew knows of none, and follows what is there.

A catalogue that does not follow though its store is there, because it failed or stands still, is behind for nobody
knows how long: it says so, for the service's health.

What is taken over may need policies that are anybody's code, which is imported on a thread of its own.
"""

import asyncio
import contextlib
import functools
import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping

from services.common.errors import StoreReplaced, StoreUnavailable
from services.common.quarantine import Quarantine
from services.common.records import Configuration
from services.query.redis_thread.blocking_thread import BlockingThread
from services.query.redis_thread.thread import RedisThread, Work
from services.store import RevisionGap, Store, UnreadableChange

_LOG = logging.getLogger(__name__)
_RETRY_S = 0.2
_SAME_GAP_S = 1.0
# A service that was killed holds up changes for as long; one that is frozen for longer is not waited for.
_FOLLOWER_LIVES_S = 3.0
_FAREWELL_S = 0.5
_PULSE_S = 0.25

TakeOver = Callable[[Configuration, Callable[[], None]], None]


class Catalog:
    """Follows the store on Redis's thread.

    Args:
        store: that thread's.
        thread: where its tasks run.
        take_over: called on a thread of its own with each new configuration, the first included, and with what is to be
            called, on any thread, when it or a later one is in force.
        quarantine: told of changes that cannot be read.
    """

    def __init__(self, store: Store, thread: RedisThread, take_over: TakeOver, quarantine: Quarantine) -> None:
        self._store = store
        self._thread = thread
        self._take_over = take_over
        self._quarantine = quarantine
        self._policies = BlockingThread("policies")
        self._follower = uuid.uuid4().hex
        self._in_force: int | None = None
        self._came_into_force = asyncio.Event()
        self._is_loaded = threading.Event()
        # Whether it follows, or cannot as its store is away; and when that was last so, as the thread itself says.
        self._is_well = False
        self._well_s = time.monotonic()
        self._is_taking_over = False
        self._is_reachable = True
        self._refusal: str | None = None
        self._last_gap: int | None = None

    def wait(self) -> None:
        """Returns when the first configuration has been taken over, however long Redis takes."""
        self._is_loaded.wait()

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

    @property
    def tasks(self) -> Mapping[str, Work]:
        """What runs on Redis's thread."""
        return {"follow the store": self._follow, "pulse": self._pulse, "acknowledge changes": self._acknowledge}

    async def finish(self) -> None:
        """Nobody waits for changes."""

    async def leave(self) -> None:
        """Has changes wait for this service no longer."""
        self._policies.close()
        if self._refusal is None:
            with contextlib.suppress(StoreUnavailable, TimeoutError):
                async with asyncio.timeout(_FAREWELL_S):
                    await self._store.stop_following(self._follower)

    async def _follow(self) -> None:
        """Follows for ever; whatever else than an outage or a gap interrupts it, ends it."""
        try:
            while True:
                await self._follow_until_interrupted()
        finally:
            self._is_well = False

    async def _follow_until_interrupted(self) -> None:
        try:
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
        await self._follow_to(configuration)
        self._is_loaded.set()
        async for revision, changes in self._store.follow(configuration.revision):
            configuration = configuration.apply(revision, changes)
            await self._follow_to(configuration)

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

    async def _follow_to(self, configuration: Configuration) -> None:
        in_force = functools.partial(self._post_in_force, configuration.revision)
        self._is_taking_over = True
        try:
            await self._policies.do(functools.partial(self._take_over, configuration, in_force))
        finally:
            self._is_taking_over = False
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
            if self._follows:
                self._well_s = time.monotonic()
            await asyncio.sleep(_PULSE_S)

    def _post_in_force(self, revision: int) -> None:
        self._in_force = revision
        self._thread.call_soon(self._came_into_force.set)

    async def _acknowledge(self) -> None:
        """Tells what is in force, at once and then again and again for as long as it follows."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._came_into_force.wait(), _FOLLOWER_LIVES_S / 3)
            is_news = self._came_into_force.is_set()
            self._came_into_force.clear()
            if self._in_force is not None and self._refusal is None and (is_news or self._follows):
                with contextlib.suppress(StoreUnavailable):
                    await self._store.acknowledge(self._follower, self._in_force, _FOLLOWER_LIVES_S)

    @property
    def _follows(self) -> bool:
        """Whether what is known is what there is, or what there was before Redis was away."""
        return self._is_well and not self._is_taking_over
