"""Reading states: many in one round trip, and an answer in time even when Redis gives none."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence

from services.common.errors import StoreUnavailable
from services.common.selection_records import ContextKey, State
from services.store import Store

_LOG = logging.getLogger(__name__)
_MOST_AT_ONCE = 128
# With what it takes to get to this thread, below 20 ms.
_PATIENCE_S = 0.015

OnRead = Callable[[State | None], None]


class _Reading:
    """One question, which is answered once."""

    def __init__(self, key: ContextKey, on_read: OnRead) -> None:
        self.key = key
        self._on_read: OnRead | None = on_read
        self._timer = asyncio.get_running_loop().call_later(_PATIENCE_S, self.answer, None)

    @property
    def is_answered(self) -> bool:
        return self._on_read is None

    def answer(self, state: State | None) -> None:
        if self._on_read is not None:
            on_read, self._on_read = self._on_read, None
            self._timer.cancel()
            on_read(state)


class Reader:
    """Reads the states of contexts."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: deque[_Reading] = deque()
        self._is_wanted = asyncio.Event()

    def read(self, key: ContextKey, on_read: OnRead) -> None:
        """Calls `on_read` with a context's state; with None when Redis does not tell it in time."""
        self._waiting.append(_Reading(key, on_read))
        self._is_wanted.set()

    async def run(self) -> None:
        """Reads, for ever."""
        while True:
            await self._is_wanted.wait()
            self._is_wanted.clear()
            while self._waiting:
                count = min(len(self._waiting), _MOST_AT_ONCE)
                readings = [self._waiting.popleft() for _ in range(count)]
                await self._read([reading for reading in readings if not reading.is_answered])

    def finish(self) -> None:
        """Answers who still waits, once nobody reads any more."""
        while self._waiting:
            self._waiting.popleft().answer(None)

    async def _read(self, readings: Sequence[_Reading]) -> None:
        try:
            states = await self._store.read_states([reading.key for reading in readings])
            for reading, state in zip(readings, states, strict=True):
                reading.answer(state)
        except StoreUnavailable:
            _LOG.debug("a state could not be read", exc_info=True)
        except Exception as error:
            _LOG.error("states cannot be read", exc_info=error)
        finally:
            for reading in readings:
                reading.answer(None)
