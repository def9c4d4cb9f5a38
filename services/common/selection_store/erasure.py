"""Forgetting: a context, as is a person's right, and all of an application."""

from typing import TYPE_CHECKING

from services.common.selection_records import ContextKey
from services.common.selection_store import codec, scripts
from services.common.selection_store.keys import Keys

if TYPE_CHECKING:
    import redis.asyncio

# One step blocks Redis for some milliseconds at most.
_KEYS_A_STEP = 1_000
_EVENTS_A_STEP = 500


class Erasure:
    """Forgets, step by step, as there may be much."""

    def __init__(self, client: "redis.asyncio.Redis", keys: Keys) -> None:
        self._redis = client
        self._keys = keys
        self._forget_events = client.register_script(scripts.FORGET_EVENTS)

    async def context(self, key: ContextKey) -> bool:
        """Forgets a context; returns whether it had a state.

        First the predictions, so that feedback for them cannot bring the state back.
        """
        owner = key.application, key.registration
        await self._events(self._keys.prediction_events(*owner), key.context)
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.unlink(self._keys.context(key))
            pipe.zrem(self._keys.contexts(*owner), key.context)
            had_state, _ = await pipe.execute()
        await self._events(self._keys.feedback_events(*owner), key.context)
        return bool(had_state)

    async def application(self, application: str, registration: int) -> None:
        """Forgets all of an application."""
        owned = self._keys.prefixes(application, registration)
        found: list[str] = [*self._keys.single(application, registration)]
        async for key in self._redis.scan_iter(self._keys.pattern(application, registration), count=_KEYS_A_STEP):
            if key.startswith(owned):
                found.append(key)
            if len(found) >= _KEYS_A_STEP:
                await self._redis.unlink(*found)
                found.clear()
        if found:
            await self._redis.unlink(*found)

    async def _events(self, stream: str, context: str) -> None:
        encoded = codec.encode_context(context)
        start: str | None = "-"
        while start is not None:
            last = await self._forget_events(keys=[stream], args=[context, encoded, start, _EVENTS_A_STEP])
            start = None if last is None else f"({last}"
