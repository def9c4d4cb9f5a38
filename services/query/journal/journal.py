"""The journal's thread: the front's thread hands work to it and never waits for Redis."""

import asyncio
import contextlib
import functools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from services.common.lessons import Lesson, Outcome
from services.common.lifecycle import BackgroundTasks, VitalThread
from services.common.selection_records import ContextKey, PredictionRecord, QueryKey, Recorded, State
from services.common.selection_store import SelectionStore
from services.query.journal.reader import Reader
from services.query.journal.recorder import Recorder
from services.query.journal.round_trips import RoundTrips

_LOG = logging.getLogger(__name__)
# How long predictions are gathered before they go to Redis in one step, which costs as much as a hundred of them.
_GATHER_S = 0.05
_FINISH_S = 2.0

_Answer = TypeVar("_Answer")


class Journal:
    """All that a query service has to do with Redis for selection, on a thread of its own.

    Its methods are for one thread, and return at once. What they are given to call is called once, on the journal's
    thread, which it must not hold up.

    Args:
        store: used by this object's thread alone, and closed with it.
    """

    def __init__(self, store: SelectionStore) -> None:
        self._store = store
        self._recorder = Recorder(store)
        self._reader = Reader(store)
        self._joins = RoundTrips[QueryKey, Recorded | None](store.join)
        self._lessons = RoundTrips[Lesson, Outcome](store.learn, lambda lesson: lesson.step)
        self._thread = VitalThread(target=self._run, name="journal")
        self._started = threading.Event()
        self._stop = asyncio.Event()
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

    def start(self) -> None:
        """Starts the thread; Redis need not be there."""
        self._thread.start()
        self._started.wait()

    def close(self) -> None:
        """Ends the thread when all is done that it was given, or after some 2 seconds; safe to repeat.

        To be called when nobody calls the other methods any more. What is left then is answered with StoreUnavailable.
        """
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

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
            self._loop.call_soon_threadsafe(self._gather)

    def join(self, query: QueryKey, on_joined: Callable[[Recorded | Exception | None], None]) -> None:
        """Has `on_joined` called with a recorded prediction; with None when there is none."""
        self._call(functools.partial(self._joins.ask, query, functools.partial(_tell, on_joined)))

    def learn(self, lesson: Lesson, on_learned: Callable[[Outcome | Exception], None]) -> None:
        """Learns a lesson, and has `on_learned` called when Redis has it, or has it not."""
        self._call(functools.partial(self._lessons.ask, lesson, functools.partial(_tell, on_learned)))

    def _call(self, call: Callable[[], None]) -> None:
        self._calls.append(call)
        if not self._is_woken:
            self._is_woken = True
            self._loop.call_soon_threadsafe(self._take_calls)

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        tasks = BackgroundTasks()
        tasks.start("read states", self._reader.run)
        tasks.start("record predictions", self._recorder.run)
        tasks.start("look for predictions", self._joins.run)
        tasks.start("learn lessons", self._lessons.run)
        self._started.set()
        await self._stop.wait()
        self._take_calls()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._finish(), _FINISH_S / 2)
        await tasks.close()
        self._reader.finish()
        self._joins.abandon()
        self._lessons.abandon()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._recorder.finish(), _FINISH_S / 2)
        await self._store.close()

    async def _finish(self) -> None:
        await self._joins.finish()
        await self._lessons.finish()

    def _take_calls(self) -> None:
        # First, so that whoever comes from now on wakes the thread again.
        self._is_woken = False
        while self._calls:
            self._calls.popleft()()

    def _gather(self) -> None:
        self._loop.call_later(_GATHER_S, self._save)

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
