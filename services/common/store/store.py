"""The store: what services read from it, write to it and wait for."""

from collections.abc import AsyncIterator, Callable
from typing import Self

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from services.common.errors import StoreReplaced
from services.common.record_codec import encode
from services.common.records import Change, Configuration, Kind, Replica
from services.common.store import scripts
from services.common.store.configurations import Configurations, Decision
from services.common.store.followers import Followers
from services.common.store.identity import Identity
from services.common.store.keys import Keys
from services.common.store.outages import unavailable_if_redis_fails

_CONNECT_TIMEOUT_S = 2.0
_READ_TIMEOUT_S = 10.0


class Store:
    """Redis as the services see it; of one event loop.

    Every method raises StoreUnavailable when Redis cannot be reached or refuses, and StoreReplaced, which is one, when
    it is not the store that this object has worked with.
    """

    def __init__(
        self, client: "redis.asyncio.Redis", prefix: str, on_read: Callable[[Configuration], None] = lambda _: None
    ) -> None:
        self._redis = client
        self._keys = Keys(prefix)
        self._identity = Identity(client, self._keys)
        self._configurations = Configurations(client, self._keys, self._identity, on_read)
        self._followers = Followers(client, self._keys)
        self._take_query_ids = client.register_script(scripts.TAKE_QUERY_IDS)

    @classmethod
    def connect(
        cls,
        url: str,
        prefix: str = "clipper",
        read_timeout_s: float = _READ_TIMEOUT_S,
        on_read: Callable[[Configuration], None] = lambda _: None,
    ) -> Self:
        """A store on the Redis at `url`; connects on first use and again whenever a connection broke.

        A Redis that is silent for `read_timeout_s` counts as unreachable. Who follows the changes must leave it well
        above the time for which that blocks. `on_read` is shown each configuration that is read or made.
        """
        client = redis.asyncio.Redis.from_url(
            url,
            protocol=2,
            decode_responses=True,
            # Bytes that are no UTF-8 are the fault of one record, and not of the reply that they come with.
            encoding_errors="surrogateescape",
            socket_connect_timeout=_CONNECT_TIMEOUT_S,
            socket_timeout=read_timeout_s,
            # Behind a new connection may be another store, which is to be looked at first.
            retry=Retry(NoBackoff(), retries=0),
        )
        return cls(client, prefix, on_read)

    async def close(self) -> None:
        """Closes the connections."""
        await self._redis.aclose()

    async def ping(self) -> None:
        """Returns when Redis answers, whatever it holds."""
        with unavailable_if_redis_fails():
            await self._redis.ping()

    async def check(self) -> None:
        """Returns when Redis answers, and is the store that is known."""
        with unavailable_if_redis_fails():
            await self._identity.check()

    async def snapshot(self) -> Configuration:
        """Everything registered, as of one revision."""
        with unavailable_if_redis_fails():
            return await self._configurations.snapshot()

    async def update(self, decide: Decision) -> Configuration:
        """Changes the configuration atomically.

        `decide` is given the configuration and returns the changes; it is called again when that is no longer the
        newest. What it raises passes through and nothing is changed.

        Returns:
            The configuration after the change.
        """
        with unavailable_if_redis_fails():
            return await self._configurations.update(decide)

    async def follow(self, revision: int) -> AsyncIterator[tuple[int, list[Change]]]:
        """Yields each revision after `revision` with its changes, for ever, as they happen.

        Raises:
            RevisionGap: a revision is missing from the stream.
            UnreadableChange: it cannot be read.
        """
        with unavailable_if_redis_fails():
            async for change in self._configurations.follow(revision):
                yield change

    async def acknowledge(self, follower: str, revision: int, lives_s: float) -> None:
        """Tells that a follower has taken over `revision`, and that it counts as a follower for `lives_s` from now."""
        with unavailable_if_redis_fails():
            await self._followers.acknowledge(follower, revision, lives_s)

    async def stop_following(self, follower: str) -> None:
        """Waits for this follower no longer."""
        with unavailable_if_redis_fails():
            await self._followers.remove(follower)

    async def wait_until_followed(self, revision: int, timeout_s: float) -> bool:
        """Returns when every live follower has taken over `revision`; False when that takes longer."""
        with unavailable_if_redis_fails():
            return await self._followers.wait(revision, timeout_s)

    async def next_replica_id(self, version_key: str) -> int:
        """An id that no replica of this version has had, counted from 0."""
        with unavailable_if_redis_fails():
            async with self._identity.transaction() as pipe:
                pipe.hincrby(self._keys.next_replica_ids, version_key, 1)
                [next_id] = await pipe.execute()
                return int(next_id) - 1

    async def renew_lease(self, replica: Replica, expires_at_ms: int) -> bool:
        """Lets a replica's lease run until `expires_at_ms` (Unix time).

        Returns:
            Whether the replica's record stands as given. If not, it was swept or lost, or is another's.
        """
        with unavailable_if_redis_fails():
            async with self._identity.transaction() as pipe:
                pipe.zadd(self._keys.lease_expiries, {replica.key: expires_at_ms})
                pipe.hget(self._keys.records(Kind.REPLICA), replica.key)
                _, text = await pipe.execute()
                return bool(text == encode(replica))

    async def forget_lease(self, replica_key: str) -> None:
        """Drops a lease's expiry."""
        with unavailable_if_redis_fails():
            async with self._identity.transaction() as pipe:
                pipe.zrem(self._keys.lease_expiries, replica_key)
                await pipe.execute()

    async def forget_lapsed_leases(self, now_ms: int) -> None:
        """Drops the expiries of the leases that have lapsed by `now_ms` (Unix time), and of no lease renewed since."""
        with unavailable_if_redis_fails():
            async with self._identity.transaction() as pipe:
                pipe.zremrangebyscore(self._keys.lease_expiries, "-inf", now_ms)
                await pipe.execute()

    async def lapsed_leases(self, now_ms: int) -> list[str]:
        """The keys of the replicas whose lease has lapsed by `now_ms` (Unix time)."""
        with unavailable_if_redis_fails():
            await self._identity.check()
            return [str(key) for key in await self._redis.zrangebyscore(self._keys.lease_expiries, "-inf", now_ms)]

    async def take_query_ids(self, count: int) -> range:
        """`count` query ids that nobody else is ever given, also if Redis is started with older files."""
        with unavailable_if_redis_fails():
            known = await self._identity.known()
            keys = [self._keys.instance, self._keys.next_query_id]
            first = await self._take_query_ids(keys=keys, args=[str(known.instance), count])
            if first is None:
                await self._identity.check()
                raise StoreReplaced("The configuration store was another one for a moment")
            return range(int(first), int(first) + count)
