"""The predictions of the last seconds, for feedback that comes at once; the store is asked for any other."""

from services.common.selection_records import PredictionRecord

_MOST = 5_000
# Later on the store is asked, where predictions may have been forgotten.
_RECENT_S = 5.0


class RecentPredictions:
    """Some thousand predictions by query id, each with when it was asked for, on the engine's clock."""

    __slots__ = ("_newer", "_older", "_since_s")

    def __init__(self) -> None:
        # Two generations, so that to forget the oldest costs nothing.
        self._newer: dict[int, tuple[PredictionRecord, float]] = {}
        self._older: dict[int, tuple[PredictionRecord, float]] = {}
        self._since_s = 0.0

    def add(self, prediction: PredictionRecord, asked_s: float) -> None:
        """Remembers one."""
        if len(self._newer) >= _MOST or asked_s - self._since_s > _RECENT_S:
            self._older, self._newer = self._newer, {}
            self._since_s = asked_s
        self._newer[prediction.query_id] = prediction, asked_s

    def find(self, query_id: int, now_s: float) -> tuple[PredictionRecord, float] | None:
        """A prediction of the last seconds that was made here, and when it was asked for."""
        found = self._newer.get(query_id) or self._older.get(query_id)
        return found if found is not None and now_s - found[1] <= _RECENT_S else None
