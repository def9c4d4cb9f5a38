"""Predictions that await feedback: recorded many at a time, and joined with it by any query service."""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence

from services.common.selection_records import QueryKey, Recorded
from services.store import codec
from services.store.connection import Connection
from services.store.keys import Keys
from services.store.plan import Plan

_LOG = logging.getLogger(__name__)


class Predictions:
    """Records and joins; of each application, the newest `kept`."""

    def __init__(self, connection: Connection, keys: Keys, kept: int) -> None:
        self._keys = keys
        self._kept = kept
        self._record = connection.script("clock", "applications", "recordings", "record")
        self._join = connection.script("recordings", "join")

    async def record(self, predictions: Sequence[Recorded]) -> Counter[str]:
        """Records those predictions that were not recorded before.

        Returns:
            How many predictions of each application made way for them within its feedback window.
        """
        owners: dict[tuple[str, int], dict[int, Recorded]] = {}
        for recorded in predictions:
            key, query_id, *_ = recorded.prediction
            owners.setdefault((key.application, key.registration), {}).setdefault(query_id, recorded)
        plan = Plan(self._keys)
        documents = []
        for (application, registration), recorded_by_id in owners.items():
            ids = sorted(recorded_by_id)
            document = {"application": application, "registration": registration, "ids": list(map(str, ids))}
            documents.append(document | self._place(plan, application, registration))
            plan.lines += [codec.encode_prediction(*recorded_by_id[query_id]) for query_id in ids]
        missed = await plan.carry_out(self._record, documents, self._kept)
        return Counter({application: count for (application, _), count in zip(owners, missed, strict=True) if count})

    async def join(self, queries: Sequence[QueryKey]) -> list[Recorded | None]:
        """The recorded predictions; None for those that are not, or no longer, recorded."""
        plan = Plan(self._keys)
        documents = [
            {"id": str(query_id)} | self._place(plan, application, registration)
            for application, registration, query_id in queries
        ]
        return list(self._decoded(queries, await plan.carry_out(self._join, documents, self._kept)))

    def _place(self, plan: Plan, application: str, registration: int) -> dict[str, object]:
        return {
            "recordings": self._keys.recordings(application, registration),
            "events": plan.number(self._keys.prediction_events(application, registration)),
        }

    def _decoded(self, queries: Sequence[QueryKey], texts: Sequence[str | None]) -> Iterator[Recorded | None]:
        for query, text in zip(queries, texts, strict=True):
            try:
                yield None if text is None else codec.decode_prediction(*query, text)
            # The feedback of others was asked for along with this one's.
            except (TypeError, ValueError) as error:
                _LOG.error("a recorded prediction cannot be read", extra={"query": query}, exc_info=error)
                yield None
