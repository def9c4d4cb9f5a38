"""Recording predictions: many in one step, a moment later, and for a while without Redis."""

import asyncio
import contextlib
import logging
from collections import Counter, deque
from collections.abc import Mapping

from services.common.errors import StoreUnavailable
from services.common.selection_records import PredictionRecord, Recorded
from services.common.selection_store import SelectionStore

_LOG = logging.getLogger(__name__)
_MOST_AT_ONCE = 256
# Some seconds of a busy service, in some ten megabytes.
_MOST_UNSAVED = 20_000
_RETRY_S = 0.2
_MOST_RECENT = 5_000
# Later on Redis is asked, where predictions may have been forgotten.
_RECENT_MS = 5_000


class Recorder:
    """Keeps predictions until Redis has them, and the recent ones for feedback that comes at once.

    Attributes:
        dropped: how many predictions were not recorded as there was no room for them any more while Redis was away.
        forgotten: by application, how many recorded ones made way for newer ones within its feedback window.
    """

    def __init__(self, store: SelectionStore) -> None:
        self._store = store
        self._unsaved: deque[Recorded] = deque()
        self._saving: list[Recorded] = []
        self._is_wanted = asyncio.Event()
        self._is_away = False
        # Two generations, so that to forget the oldest costs nothing.
        self._recent: dict[int, Recorded] = {}
        self._less_recent: dict[int, Recorded] = {}
        self.dropped = 0
        self.forgotten: Counter[str] = Counter()

    def add(self, prediction: PredictionRecord, at_ms: int) -> None:
        """Takes a prediction made at `at_ms` (Unix time), to be saved when `save_soon` is called."""
        recorded = Recorded(prediction, at_ms)
        if len(self._unsaved) >= _MOST_UNSAVED:
            self._unsaved.popleft()
            self.dropped += 1
        self._unsaved.append(recorded)
        if len(self._recent) >= _MOST_RECENT:
            self._less_recent, self._recent = self._recent, {}
        self._recent[prediction.query_id] = recorded

    def find(self, query_id: int, now_ms: int) -> Recorded | None:
        """A prediction of the last seconds, if it is one of this service's."""
        found = self._recent.get(query_id) or self._less_recent.get(query_id)
        return found if found and now_ms - found.at_ms <= _RECENT_MS else None

    def save_soon(self) -> None:
        """Has what was taken saved."""
        self._is_wanted.set()

    async def run(self) -> None:
        """Saves, for ever."""
        while True:
            await self._is_wanted.wait()
            self._is_wanted.clear()
            try:
                await self._save()
            except StoreUnavailable as error:
                if not self._is_away:
                    _LOG.warning("the store is away; predictions wait to be recorded", exc_info=error)
                self._is_away = True
                await asyncio.sleep(_RETRY_S)
                self._is_wanted.set()

    async def finish(self) -> None:
        """Saves what is left, once nobody else does; what Redis does not take is lost."""
        try:
            with contextlib.suppress(StoreUnavailable):
                await self._save()
        finally:
            if lost := len(self._saving) + len(self._unsaved):
                _LOG.warning("predictions were not recorded", extra={"lost": lost})

    async def _save(self) -> None:
        while self._saving or self._unsaved:
            if not self._saving:
                count = min(len(self._unsaved), _MOST_AT_ONCE)
                self._saving = [self._unsaved.popleft() for _ in range(count)]
            try:
                self._note_forgotten(await self._store.record(self._saving))
            except StoreUnavailable:
                raise
            # Whatever is wrong with these must not keep the others from being saved.
            except Exception as error:
                _LOG.error("predictions cannot be recorded", exc_info=error)
            self._saving = []
            if self._is_away:
                _LOG.info("predictions are recorded again", extra={"dropped": self.dropped})
                self._is_away = False

    def _note_forgotten(self, forgotten: Mapping[str, int]) -> None:
        for application in forgotten.keys() - self.forgotten.keys():
            _LOG.warning(
                "predictions are forgotten before their feedback window is over: there are too many of them",
                extra={"application": application, "setting": "CLIPPER_AWAITED_PREDICTIONS"},
            )
        self.forgotten.update(forgotten)
