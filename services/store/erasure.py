"""Forgetting: a context, as is a person's right, and all of an application."""

from collections.abc import Sequence

from services.common.selection_records import ContextKey
from services.store import codec
from services.store.connection import Connection
from services.store.keys import Keys

# One step blocks Redis for some milliseconds at most.
_KEYS_A_STEP = 1_000
_EVENTS_A_STEP = 500


class Erasure:
    """Forgets, step by step, as there may be much."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._redis = connection
        self._keys = keys
        self._forget_events = connection.script("forget_events")

    async def context(self, key: ContextKey) -> bool:
        """Forgets a context; returns whether it had a state.

        First the predictions, so that feedback for them cannot bring the state back.
        """
        owner = key.application, key.registration
        await self._events(self._keys.prediction_events(*owner), key.context)
        pipe = self._redis.client.pipeline(transaction=True)
        pipe.unlink(self._keys.context(key))
        pipe.zrem(self._keys.contexts(*owner), key.context)
        had_state, _ = await self._redis.ask(pipe.execute())
        await self._events(self._keys.feedback_events(*owner), key.context)
        return bool(had_state)

    async def application(self, application: str, registration: int) -> None:
        """Forgets all of an application."""
        owned = self._keys.prefixes(application, registration)
        pattern = self._keys.pattern(application, registration)
        await self._unlink(self._keys.single(application, registration))
        cursor: int | None = None
        while cursor != 0:
            question = self._redis.client.scan(cursor or 0, pattern, count=_KEYS_A_STEP)
            cursor, found = await self._redis.ask(question)
            await self._unlink([str(key) for key in found if str(key).startswith(owned)])

    async def _unlink(self, keys: Sequence[str]) -> None:
        if keys:
            await self._redis.ask(self._redis.client.unlink(*keys))

    async def _events(self, stream: str, context: str) -> None:
        encoded = codec.encode_context(context)
        start: str | None = "-"
        while start is not None:
            last = await self._forget_events([stream], [context, encoded, start, _EVENTS_A_STEP])
            start = None if last is None else f"({last}"
