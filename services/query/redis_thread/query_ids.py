"""Query ids: unique across query services and restarts, handed out without asking anybody.

The store gives out blocks of ids (see Store.take_query_ids). A service counts within its block and has the next one in
reserve, for when the store is away. That is some times as large, so that who uses many ids has many left, and who does
not takes few. If the store is away for even longer, a service counts on, and its ids may then be another's, too.
"""

import asyncio
import contextlib
import threading
from collections.abc import Mapping

from services.common.errors import StoreUnavailable
from services.query.redis_thread.thread import Work
from services.store import Store

FIRST_BLOCK = 1 << 20
_GROWTH = 4
# Half an hour's at forty thousand predictions a second.
_LARGEST_BLOCK = 1 << 26
_LOOK_S = 1.0
_RETRY_S = 0.2


class QueryIds:
    """A counter within blocks of ids. One thread takes ids at a time."""

    def __init__(self, block: range) -> None:
        self._block = block
        self._next = block.start
        self._reserve: range | None = None

    def take(self, count: int) -> int:
        """Returns the first of `count` successive ids."""
        if self._next + count > self._block.stop and self._reserve is not None:
            self._block, self._reserve = self._reserve, None
            self._next = self._block.start
        first = self._next
        self._next += count
        return first

    @property
    def wanted(self) -> int:
        """How many ids a further block should have; 0: none is wanted now."""
        if self._reserve is not None:
            return 0
        return max(FIRST_BLOCK, min(_GROWTH * len(self._block), _LARGEST_BLOCK))

    def reserve(self, block: range) -> None:
        """Keeps a block for when the present one ends."""
        self._reserve = block


class QueryIdSupply:
    """Has query ids reserved, on Redis's thread.

    Args:
        store: that thread's.

    Attributes:
        ids: the ids that this service may use, once there are any.
    """

    def __init__(self, store: Store) -> None:
        self.ids = QueryIds(range(0))
        self._store = store
        self._has_come = threading.Event()

    def wait(self) -> None:
        """Returns when there are ids, however long Redis takes."""
        self._has_come.wait()

    @property
    def tasks(self) -> Mapping[str, Work]:
        """What runs on Redis's thread."""
        return {"reserve query ids": self._keep}

    async def finish(self) -> None:
        """Nobody waits for ids."""

    async def leave(self) -> None:
        """Ids that were not used are lost, of which there are enough."""

    async def _keep(self) -> None:
        while True:
            with contextlib.suppress(StoreUnavailable):
                if count := self.ids.wanted:
                    self.ids.reserve(await self._store.take_query_ids(count))
                    self._has_come.set()
            await asyncio.sleep(_LOOK_S if self._has_come.is_set() else _RETRY_S)
