"""Who follows the changes, and how far each has come."""

import math
import time
from typing import Any

from services.store.connection import Connection
from services.store.keys import Keys

# Only the newest is waited for.
_ACKNOWLEDGEMENTS_KEPT = 100


class Followers:
    """Keeps them, and waits for them."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._redis = connection
        self._keys = keys

    async def acknowledge(self, follower: str, revision: int, lives_s: float) -> None:
        """Tells that a follower has taken over `revision`, and that it counts as a follower for `lives_s` from now."""
        pipe = self._redis.client.pipeline(transaction=True)
        pipe.sadd(self._keys.followers, follower)
        pipe.set(self._keys.follower(follower), revision, px=math.ceil(lives_s * 1_000))
        self._queue_acknowledgement(pipe, follower)
        await self._redis.ask(pipe.execute())

    async def remove(self, follower: str) -> None:
        """Waits for this follower no longer."""
        pipe = self._redis.client.pipeline(transaction=True)
        pipe.srem(self._keys.followers, follower)
        pipe.delete(self._keys.follower(follower))
        self._queue_acknowledgement(pipe, follower)
        await self._redis.ask(pipe.execute())

    async def wait(self, revision: int, timeout_s: float) -> bool:
        """Returns when every live follower has taken over `revision`; False when that takes longer."""
        client, acknowledgements = self._redis.client, self._keys.acknowledgements
        deadline_s = time.monotonic() + timeout_s
        while True:
            # Read before the revisions, so that whatever is acknowledged after them wakes the wait.
            newest: Any = await self._redis.ask(client.xrevrange(acknowledgements, count=1))
            if min(await self._revisions(), default=revision) >= revision:
                return True
            remaining_ms = int((deadline_s - time.monotonic()) * 1_000)
            if remaining_ms <= 0:
                return False
            last_id = str(newest[0][0]) if newest else "0-0"
            await self._redis.ask(client.xread({acknowledgements: last_id}, block=remaining_ms))

    async def _revisions(self) -> list[int]:
        members = await self._redis.ask(self._redis.client.smembers(self._keys.followers))
        followers = [str(follower) for follower in members]
        if not followers:
            return []
        keys = [self._keys.follower(follower) for follower in followers]
        revisions = {
            follower: int(str(revision))
            for follower, revision in zip(followers, await self._redis.ask(self._redis.client.mget(keys)), strict=True)
            if str(revision).isdecimal()
        }
        if gone := set(followers) - revisions.keys():
            await self._redis.ask(self._redis.client.srem(self._keys.followers, *gone))
        return list(revisions.values())

    def _queue_acknowledgement(self, pipe: Any, follower: str) -> None:
        pipe.xadd(self._keys.acknowledgements, {"follower": follower}, maxlen=_ACKNOWLEDGEMENTS_KEPT, approximate=True)
