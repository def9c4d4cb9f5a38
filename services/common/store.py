"""The store: everything durable, in Redis, and the only module that knows a Redis key.

Each configuration change is one transaction that writes the records, bumps the revision and appends an entry to the
change stream whose id is the revision. Readers load a snapshot and follow the stream from its revision; a number
missing there means a gap, and a new snapshot. Nothing is polled and nothing scans the key space.

The store is not believed blindly: a record that cannot be read is left out of the configuration, which says so, and a
change that cannot be read is a gap.

    {prefix}:revision           integer: the newest revision
    {prefix}:applications, :model_versions, :current_versions, :replicas
                                hashes: key -> record as JSON
    {prefix}:changes            stream: id "{revision}-0", field "changes" = JSON [[kind, key, record or null], ...]
    {prefix}:lease_expiries     sorted set: replica key -> Unix time in ms at which its lease lapses
    {prefix}:next_replica_ids   hash: version key -> the next replica id
    {prefix}:query_id_blocks    integer: how many blocks of query ids were handed out
    {prefix}:followers          set: the ids of those who follow the changes
    {prefix}:follower:{id}      integer: the revision that a follower has taken over; expires with the follower
    {prefix}:acknowledgements   stream: an entry whenever that changes, for those who wait for it
"""

import json
import math
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

import redis.asyncio
from redis.exceptions import RedisError, WatchError

from services.common.errors import StoreUnavailable, describe
from services.common.record_codec import decode, encode
from services.common.records import Change, Configuration, Kind, Replica, Unreadable

# Long enough that a query service which was away for a while catches up from the stream; a longer absence costs it one
# snapshot.
_CHANGES_KEPT = 10_000
_FOLLOW_BLOCK_MS = 5_000
# Only the newest is waited for.
_ACKNOWLEDGEMENTS_KEPT = 100
_CONNECT_TIMEOUT_S = 2.0
_READ_TIMEOUT_S = 10.0
# 2^21 blocks of 2^32 ids fill the 53 bits that a JSON number can carry exactly.
_QUERY_ID_BLOCK = 1 << 32

Decision = Callable[[Configuration], Sequence[Change]]


class RevisionGap(Exception):
    """The change stream does not hold what comes after a revision; take a new snapshot.

    Attributes:
        revision: the last one that is known.
    """

    def __init__(self, revision: int, why: str) -> None:
        super().__init__(why)
        self.revision = revision


class UnreadableChange(RevisionGap):
    """It holds something there that cannot be read."""


class Store:
    """Redis as the services see it.

    Every method raises StoreUnavailable when Redis cannot be reached or refuses.
    """

    def __init__(
        self, client: "redis.asyncio.Redis", prefix: str, on_snapshot: Callable[[Configuration], None] = lambda _: None
    ) -> None:
        self._redis = client
        self._on_snapshot = on_snapshot
        self._prefix = prefix
        self._revision = f"{prefix}:revision"
        self._changes = f"{prefix}:changes"
        self._expiries = f"{prefix}:lease_expiries"
        self._followers = f"{prefix}:followers"
        self._acknowledgements = f"{prefix}:acknowledgements"

    @classmethod
    def connect(
        cls,
        url: str,
        prefix: str = "clipper",
        read_timeout_s: float = _READ_TIMEOUT_S,
        on_snapshot: Callable[[Configuration], None] = lambda _: None,
    ) -> Self:
        """A store on the Redis at `url`; connects on first use and again whenever a connection broke.

        A Redis that is silent for `read_timeout_s` counts as unreachable. Who follows the changes must leave it well
        above the time for which that blocks. `on_snapshot` is shown each snapshot that is taken.
        """
        client = redis.asyncio.Redis.from_url(
            url,
            protocol=2,
            decode_responses=True,
            # Bytes that are no UTF-8 are the fault of one record, and not of the reply that they come with.
            encoding_errors="surrogateescape",
            socket_connect_timeout=_CONNECT_TIMEOUT_S,
            socket_timeout=read_timeout_s,
        )
        return cls(client, prefix, on_snapshot)

    async def close(self) -> None:
        """Closes the connections."""
        await self._redis.aclose()

    async def ping(self) -> None:
        """Returns when Redis answers."""
        with _unavailable_if_redis_fails():
            await self._redis.ping()

    async def snapshot(self) -> Configuration:
        """Everything registered, as of one revision."""
        with _unavailable_if_redis_fails():
            async with self._redis.pipeline(transaction=True) as pipe:
                self._queue_reads(pipe)
                configuration = _configuration(await pipe.execute())
        self._on_snapshot(configuration)
        return configuration

    async def update(self, decide: Decision) -> Configuration:
        """Changes the configuration atomically.

        `decide` is given the configuration and returns the changes; it is called again when another writer came first.
        What it raises passes through and nothing is changed.

        Returns:
            The configuration after the change.
        """
        with _unavailable_if_redis_fails():
            while True:
                async with self._redis.pipeline(transaction=True) as pipe:
                    await pipe.watch(self._revision)
                    before = await self.snapshot()
                    changes = decide(before)
                    if not changes:
                        return before
                    after = before.apply(before.revision + 1, changes)
                    has_foreign_end = await self._newest_change() > before.revision
                    pipe.multi()  # type: ignore[no-untyped-call]
                    if has_foreign_end:
                        # Nothing could be appended to it any more; its followers take a snapshot.
                        pipe.delete(self._changes)
                    self._queue_writes(pipe, after.revision, changes)
                    try:
                        await pipe.execute()
                    except WatchError:
                        continue
                    return after

    async def follow(self, revision: int) -> AsyncIterator[tuple[int, list[Change]]]:
        """Yields each revision after `revision` with its changes, for ever, as they happen.

        Raises:
            RevisionGap: a revision is missing from the stream.
            UnreadableChange: it cannot be read.
        """
        with _unavailable_if_redis_fails():
            while True:
                reply = await self._redis.xread({self._changes: f"{revision}-0"}, block=_FOLLOW_BLOCK_MS)
                if not reply and await self._newest_revision() != revision:
                    reply = await self._redis.xread({self._changes: f"{revision}-0"})
                    if not reply:
                        raise RevisionGap(revision, f"the store's revision is no longer {revision}")
                for entry_id, fields in _entries(reply):
                    number = int(entry_id.partition("-")[0])
                    if number != revision + 1:
                        raise RevisionGap(revision, f"revision {number} follows {revision}")
                    try:
                        changes = _decode_changes(fields["changes"])
                    except Exception as error:
                        raise UnreadableChange(revision, describe(error)) from error
                    revision = number
                    yield revision, changes

    async def acknowledge(self, follower: str, revision: int, lives_s: float) -> None:
        """Tells that a follower has taken over `revision`, and that it counts as a follower for `lives_s` from now."""
        with _unavailable_if_redis_fails():
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.sadd(self._followers, follower)
                pipe.set(self._follower(follower), revision, px=math.ceil(lives_s * 1_000))
                self._queue_acknowledgement(pipe, follower)
                await pipe.execute()

    async def stop_following(self, follower: str) -> None:
        """Waits for this follower no longer."""
        with _unavailable_if_redis_fails():
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.srem(self._followers, follower)
                pipe.delete(self._follower(follower))
                self._queue_acknowledgement(pipe, follower)
                await pipe.execute()

    async def wait_until_followed(self, revision: int, timeout_s: float) -> bool:
        """Returns when every live follower has taken over `revision`; False when that takes longer."""
        deadline_s = time.monotonic() + timeout_s
        with _unavailable_if_redis_fails():
            while True:
                # Read before the revisions, so that whatever is acknowledged after them wakes the wait.
                newest = await self._redis.xrevrange(self._acknowledgements, count=1)
                if min(await self._followed_revisions(), default=revision) >= revision:
                    return True
                remaining_ms = int((deadline_s - time.monotonic()) * 1_000)
                if remaining_ms <= 0:
                    return False
                last_id = str(newest[0][0]) if newest else "0-0"
                await self._redis.xread({self._acknowledgements: last_id}, block=remaining_ms)

    async def next_replica_id(self, version_key: str) -> int:
        """An id that no replica of this version has had, counted from 0."""
        with _unavailable_if_redis_fails():
            return int(await self._redis.hincrby(f"{self._prefix}:next_replica_ids", version_key, 1)) - 1

    async def renew_lease(self, replica: Replica, expires_at_ms: int) -> bool:
        """Lets a replica's lease run until `expires_at_ms` (Unix time).

        Returns:
            Whether the replica's record stands as given. If not, it was swept or lost, or is another's.
        """
        with _unavailable_if_redis_fails():
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.zadd(self._expiries, {replica.key: expires_at_ms})
                pipe.hget(f"{self._prefix}:{Kind.REPLICA}", replica.key)
                _, text = await pipe.execute()
                return bool(text == encode(replica))

    async def forget_lease(self, replica_key: str) -> None:
        """Drops a lease's expiry."""
        with _unavailable_if_redis_fails():
            await self._redis.zrem(self._expiries, replica_key)

    async def forget_lapsed_leases(self, now_ms: int) -> None:
        """Drops the expiries of the leases that have lapsed by `now_ms` (Unix time), and of no lease renewed since."""
        with _unavailable_if_redis_fails():
            await self._redis.zremrangebyscore(self._expiries, "-inf", now_ms)

    async def lapsed_leases(self, now_ms: int) -> list[str]:
        """The keys of the replicas whose lease has lapsed by `now_ms` (Unix time)."""
        with _unavailable_if_redis_fails():
            return [str(key) for key in await self._redis.zrangebyscore(self._expiries, "-inf", now_ms)]

    async def take_query_ids(self) -> range:
        """A block of query ids that nobody else is ever given."""
        with _unavailable_if_redis_fails():
            block = int(await self._redis.incr(f"{self._prefix}:query_id_blocks")) - 1
        return range(block * _QUERY_ID_BLOCK, (block + 1) * _QUERY_ID_BLOCK)

    async def _newest_revision(self) -> int:
        return int(await self._redis.get(self._revision) or 0)

    async def _newest_change(self) -> int:
        newest = await self._redis.xrevrange(self._changes, count=1)
        return int(str(newest[0][0]).partition("-")[0]) if newest else 0

    async def _followed_revisions(self) -> list[int]:
        followers = [str(follower) for follower in await self._redis.smembers(self._followers)]
        if not followers:
            return []
        keys = [self._follower(follower) for follower in followers]
        revisions = {
            follower: int(str(revision))
            for follower, revision in zip(followers, await self._redis.mget(keys), strict=True)
            if str(revision).isdecimal()
        }
        if gone := set(followers) - revisions.keys():
            await self._redis.srem(self._followers, *gone)
        return list(revisions.values())

    def _follower(self, follower: str) -> str:
        return f"{self._prefix}:follower:{follower}"

    def _queue_acknowledgement(self, pipe: Any, follower: str) -> None:
        pipe.xadd(self._acknowledgements, {"follower": follower}, maxlen=_ACKNOWLEDGEMENTS_KEPT, approximate=True)

    def _queue_reads(self, pipe: Any) -> None:
        pipe.get(self._revision)
        for kind in Kind:
            pipe.hgetall(f"{self._prefix}:{kind}")

    def _queue_writes(self, pipe: Any, revision: int, changes: Sequence[Change]) -> None:
        entry: list[list[str | None]] = []
        for change in changes:
            key = f"{self._prefix}:{change.kind}"
            if change.record is None or isinstance(change.record, Unreadable):
                pipe.hdel(key, change.key)
                entry.append([change.kind, change.key, None])
            else:
                text = encode(change.record)
                pipe.hset(key, change.key, text)
                entry.append([change.kind, change.key, text])
        pipe.set(self._revision, revision)
        pipe.xadd(
            self._changes,
            {"changes": json.dumps(entry)},
            id=f"{revision}-0",
            maxlen=_CHANGES_KEPT,
            approximate=True,
        )


@contextmanager
def _unavailable_if_redis_fails() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError) as error:
        raise StoreUnavailable("The configuration store cannot be reached") from error


def _configuration(reply: list[Any]) -> Configuration:
    revision, *hashes = reply
    found = (
        Change(kind, key, decode(kind, key, text))
        for kind, entries in zip(Kind, hashes, strict=True)
        for key, text in entries.items()
    )
    return Configuration().apply(int(revision or 0), found)


def _entries(reply: Any) -> Iterator[tuple[str, dict[str, str]]]:
    for _stream, entries in reply:
        yield from entries


def _decode_changes(text: str) -> list[Change]:
    changes = []
    for kind, key, record in json.loads(text):
        if not isinstance(key, str):
            raise TypeError(f"the key of a change cannot be {key!r}")
        changes.append(Change(Kind(kind), key, None if record is None else decode(Kind(kind), key, record)))
    return changes
