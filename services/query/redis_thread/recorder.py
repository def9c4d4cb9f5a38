"""Recording predictions: many in one step, a moment later, and for a while without Redis."""

import asyncio
import contextlib
import logging
from collections import Counter, deque
from collections.abc import Mapping

from services.common.errors import StoreUnavailable
from services.common.selection_records import PredictionRecord, Recorded
from services.store import Store

_LOG = logging.getLogger(__name__)
_MOST_AT_ONCE = 256
# Some seconds of a busy service, in some ten megabytes.
_MOST_UNSAVED = 20_000
_RETRY_S = 0.2


class Recorder:
    """Keeps predictions until Redis has them.

    Attributes:
        dropped: how many predictions were not recorded as there was no room for them any more while Redis was away.
        forgotten: by application, how many recorded ones made way for newer ones within its feedback window.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._unsaved: deque[Recorded] = deque()
        self._saving: list[Recorded] = []
        self._is_wanted = asyncio.Event()
        self._is_away = False
        self.dropped = 0
        self.forgotten: Counter[str] = Counter()

    def add(self, prediction: PredictionRecord, at_ms: int) -> None:
        """Takes a prediction made at `at_ms` (Unix time), to be saved when `save_soon` is called."""
        if len(self._unsaved) >= _MOST_UNSAVED:
            self._unsaved.popleft()
            self.dropped += 1
        self._unsaved.append(Recorded(prediction, at_ms))

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
