"""The leases of replicas: until when each is known to live, and the ids that they are told apart by."""

from typing import Any

from services.common.record_codec import encode
from services.common.records import Kind, Replica
from services.store.connection import Connection
from services.store.identity import Identity
from services.store.keys import Keys


class Leases:
    """Keeps them; times are Unix times."""

    def __init__(self, connection: Connection, keys: Keys, identity: Identity) -> None:
        self._redis = connection
        self._keys = keys
        self._identity = identity

    async def next_replica_id(self, version_key: str) -> int:
        """An id that no replica of this version has had, counted from 0."""
        [next_id] = await self._identity.carry_out(("HINCRBY", self._keys.next_replica_ids, version_key, 1))
        return int(next_id) - 1

    async def renew(self, replica: Replica, expires_at_ms: int) -> bool:
        """Lets a lease run until then; returns whether the replica's record stands as given."""
        _, text = await self._identity.carry_out(
            ("ZADD", self._keys.lease_expiries, expires_at_ms, replica.key),
            ("HGET", self._keys.records(Kind.REPLICA), replica.key),
        )
        return bool(text == encode(replica))

    async def forget(self, replica_key: str) -> None:
        """Drops a lease's expiry."""
        await self._identity.carry_out(("ZREM", self._keys.lease_expiries, replica_key))

    async def forget_lapsed(self, now_ms: int) -> None:
        """Drops the expiries that have passed."""
        await self._identity.carry_out(("ZREMRANGEBYSCORE", self._keys.lease_expiries, "-inf", now_ms))

    async def expiries_ms(self) -> dict[str, int]:
        """Until when each lease runs, by its replica's key."""
        await self._identity.check()
        found: Any = await self._redis.ask(self._redis.client.zrange(self._keys.lease_expiries, 0, -1, withscores=True))
        return {str(key): int(expires_at_ms) for key, expires_at_ms in found}

    async def lapsed(self, now_ms: int) -> list[str]:
        """The keys of the replicas whose expiry has passed."""
        await self._identity.check()
        keys = await self._redis.ask(self._redis.client.zrangebyscore(self._keys.lease_expiries, "-inf", now_ms))
        return [str(key) for key in keys]
