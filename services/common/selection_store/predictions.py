"""Predictions that await feedback: recorded many at a time, and joined with it by any query service."""

import logging
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from services.common.selection_records import ContextKey, QueryKey, Recorded
from services.common.selection_store import codec, scripts
from services.common.selection_store.keys import Keys
from services.common.selection_store.plan import Plan

if TYPE_CHECKING:
    import redis.asyncio

_LOG = logging.getLogger(__name__)


class _Bucket(NamedTuple):
    """What goes to one key."""

    document: dict[str, object]
    slots: list[int]
    lines: list[bytes]


class Predictions:
    """Records and joins."""

    def __init__(self, client: "redis.asyncio.Redis", keys: Keys, events_kept: int) -> None:
        self._redis = client
        self._keys = keys
        self._events_kept = events_kept
        self._script = client.register_script(scripts.RECORD)

    async def record(self, predictions: Sequence[Recorded]) -> None:
        """Records predictions, and tells the events of those that were not recorded before."""
        plan = Plan(self._keys)
        buckets: dict[str, _Bucket] = {}
        for prediction, at_ms in predictions:
            key = prediction.key
            joins, slot = self._keys.joins(key.application, key.registration, prediction.query_id)
            bucket = buckets.get(joins)
            if bucket is None:
                bucket = buckets[joins] = self._bucket(plan, key, joins)
            bucket.slots.append(slot)
            bucket.lines.append(codec.encode_prediction(prediction, at_ms))
        plan.lines = list(chain.from_iterable(bucket.lines for bucket in buckets.values()))
        await plan.carry_out(self._script, [bucket.document for bucket in buckets.values()], self._events_kept)

    async def join(self, queries: Sequence[QueryKey]) -> list[Recorded | None]:
        """The recorded predictions; None for those that are not, or no longer, recorded."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for query in queries:
                joins, slot = self._keys.joins(*query)
                pipe.hget(joins, str(slot))
            texts = await pipe.execute()
        return list(self._decoded(queries, texts))

    def _bucket(self, plan: Plan, key: ContextKey, joins: str) -> _Bucket:
        slots: list[int] = []
        document: dict[str, object] = {
            "application": key.application,
            "registration": key.registration,
            "joins": plan.number(joins),
            "events": plan.number(self._keys.prediction_events(key.application, key.registration)),
            "slots": slots,
        }
        return _Bucket(document, slots, [])

    def _decoded(self, queries: Sequence[QueryKey], texts: Sequence[str | None]) -> Iterator[Recorded | None]:
        for query, text in zip(queries, texts, strict=True):
            try:
                yield None if text is None else codec.decode_prediction(query.application, query.registration, text)
            # The feedback of others was asked for along with this one's.
            except (TypeError, ValueError) as error:
                _LOG.error("a recorded prediction cannot be read", extra={"query": query}, exc_info=error)
                yield None
