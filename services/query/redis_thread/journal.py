"""The journal: what a query service records and reads in Redis of its predictions, and has learned there.

The front's thread hands it work, which it takes to Redis's thread, and never waits for Redis.
"""

import asyncio
import functools
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from services.common.lessons import Lesson, Outcome
from services.common.selection_records import ContextKey, PredictionRecord, QueryKey, Recorded, State
from services.query.redis_thread.reader import Reader
from services.query.redis_thread.recorder import Recorder
from services.query.redis_thread.round_trips import RoundTrips
from services.query.redis_thread.thread import RedisThread, Work
from services.store import Store

_LOG = logging.getLogger(__name__)
# How long predictions are gathered before they go to Redis in one step, which costs as much as a hundred of them.
_GATHER_S = 0.05

_Answer = TypeVar("_Answer")


class Journal:
    """All that a query service has to do with Redis for selection.

    Its methods are for one thread, while Redis's runs, and return at once. What they are given to call is called once,
    on Redis's thread, which it must not hold up.

    Args:
        store: that thread's.
        thread: where its tasks run.
    """

    def __init__(self, store: Store, thread: RedisThread) -> None:
        self._thread = thread
        self._recorder = Recorder(store)
        self._reader = Reader(store)
        self._joins = RoundTrips[QueryKey, Recorded | None](store.join)
        self._lessons = RoundTrips[Lesson, Outcome](store.learn)
        self._calls: deque[Callable[[], None]] = deque()
        self._predictions: deque[PredictionRecord] = deque()
        self._is_woken = False
        self._is_gathering = False

    @property
    def dropped(self) -> int:
        """How many predictions were not recorded, as Redis was away for too long."""
        return self._recorder.dropped

    @property
    def forgotten(self) -> Mapping[str, int]:
        """By application, how many predictions made way for newer ones within its feedback window. Any thread."""
        return self._recorder.forgotten

    def read_state(self, key: ContextKey, on_read: Callable[[State | None], None]) -> None:
        """Has `on_read` called with a context's state, within 20 ms; with None when Redis does not tell it.

        The state of a context that nothing was learned in is empty.
        """
        self._call(functools.partial(self._reader.read, key, functools.partial(_tell, on_read)))

    def record(self, predictions: Sequence[PredictionRecord]) -> None:
        """Keeps predictions for their feedback, in a moment. While Redis is away the newest are kept."""
        self._predictions.extend(predictions)
        if not self._is_gathering:
            self._is_gathering = True
            self._thread.call_soon(self._gather)

    def join(self, query: QueryKey, on_joined: Callable[[Recorded | Exception | None], None]) -> None:
        """Has `on_joined` called with a recorded prediction; with None when there is none."""
        self._call(functools.partial(self._joins.ask, query, functools.partial(_tell, on_joined)))

    def learn(self, lesson: Lesson, on_learned: Callable[[Outcome | Exception], None]) -> None:
        """Learns a lesson, and has `on_learned` called when Redis has it, or has it not."""
        self._call(functools.partial(self._lessons.ask, lesson, functools.partial(_tell, on_learned)))

    @property
    def tasks(self) -> Mapping[str, Work]:
        """What runs on Redis's thread."""
        return {
            "read states": self._reader.run,
            "record predictions": self._recorder.run,
            "look for predictions": self._joins.run,
            "learn lessons": self._lessons.run,
        }

    async def finish(self) -> None:
        """Returns when what was asked for is answered, and what was to be learned is."""
        self._take_calls()
        await self._joins.finish()
        await self._lessons.finish()

    async def leave(self) -> None:
        """Answers what is left, with StoreUnavailable, and records what Redis takes."""
        self._reader.finish()
        self._joins.abandon()
        self._lessons.abandon()
        self._take_predictions()
        await self._recorder.finish()

    def _call(self, call: Callable[[], None]) -> None:
        self._calls.append(call)
        if not self._is_woken:
            self._is_woken = True
            self._thread.call_soon(self._take_calls)

    def _take_calls(self) -> None:
        # First, so that whoever comes from now on wakes the thread again.
        self._is_woken = False
        while self._calls:
            self._calls.popleft()()

    def _gather(self) -> None:
        asyncio.get_running_loop().call_later(_GATHER_S, self._save)

    def _save(self) -> None:
        self._is_gathering = False
        self._take_predictions()
        self._recorder.save_soon()

    def _take_predictions(self) -> None:
        now_ms = round(time.time() * 1e3)
        while self._predictions:
            self._recorder.add(self._predictions.popleft(), now_ms)


def _tell(callback: Callable[[_Answer], None], answer: _Answer) -> None:
    try:
        callback(answer)
    except Exception as error:
        _LOG.error("an answer of the journal was not taken", exc_info=error)
