"""What the store keeps, whatever becomes of Redis, and what a change costs."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from services.common.errors import AlreadyExists, StoreReplaced, StoreUnavailable
from services.common.names import InputType
from services.common.records import Application, Change, Configuration
from services.store import Store
from tests.fixtures.redis_server import RedisServer
from tests.fixtures.waiting import wait_until

BLOCK = 1_000


def play(scenario: Callable[[Store, Store], Awaitable[None]], server: RedisServer) -> None:
    """Runs a scenario with two stores on one Redis."""

    async def main() -> None:
        stores = [Store.connect(server.url) for _ in range(2)]
        try:
            await scenario(*stores)
        finally:
            for store in stores:
                await store.close()

    asyncio.run(main())


def application(name: str) -> Application:
    return Application(name, InputType.DOUBLES, "-1", 20_000)


async def add(store: Store, name: str) -> Configuration:
    """Registers an application, as management does."""

    def decide(known: Configuration) -> list[Change]:
        if name in known.applications:
            raise AlreadyExists(name)
        return [Change.put(application(name))]

    return await store.update(decide)


# Query ids


def test_the_ids_of_a_fresh_store_begin_with_0(redis_server: RedisServer) -> None:
    async def scenario(store: Store, other: Store) -> None:
        await add(store, "app")
        assert await store.take_query_ids(BLOCK) == range(BLOCK)
        assert (await other.take_query_ids(BLOCK)).start >= BLOCK

    play(scenario, redis_server)


def test_no_id_is_given_out_twice(redis_server: RedisServer) -> None:
    async def scenario(store: Store, other: Store) -> None:
        blocks = await asyncio.gather(*(each.take_query_ids(BLOCK) for each in (store, other) * 20))
        ids = [query_id for block in blocks for query_id in block]
        assert len(set(ids)) == len(ids)
        assert max(ids) < 2**53

    play(scenario, redis_server)


@pytest.mark.parametrize("taken_before", [0, 1, 3])
def test_ids_that_an_older_copy_has_forgotten_are_not_given_out_again(
    redis_server: RedisServer, taken_before: int
) -> None:
    async def scenario(store: Store, other: Store) -> None:
        hour_ago_ms = round((time.time() - 3_600) * 1e3)
        redis_server.client().set("clipper:instance", f"{hour_ago_ms}-somebody")
        for _ in range(taken_before):
            await store.take_query_ids(BLOCK)
        older = redis_server.files()
        forgotten = [await store.take_query_ids(BLOCK) for _ in range(3)]
        await asyncio.to_thread(redis_server.put_in_place, older)
        assert (await other.take_query_ids(BLOCK)).start >= forgotten[-1].stop

    play(scenario, redis_server)


def test_a_store_gives_no_ids_of_another_one(redis_server: RedisServer) -> None:
    async def scenario(store: Store, other: Store) -> None:
        await store.take_query_ids(BLOCK)
        redis_server.client().flushall()
        with pytest.raises(StoreReplaced):
            await store.take_query_ids(BLOCK)
        assert (await other.take_query_ids(BLOCK)).start == 0

    play(scenario, redis_server)


# What was confirmed is kept


def test_changes_that_were_confirmed_survive_the_killing_of_redis(redis_server: RedisServer) -> None:
    async def scenario(store: Store, other: Store) -> None:
        confirmed: list[str] = []

        async def write(each: Store, number: int) -> None:
            with contextlib.suppress(StoreUnavailable):
                for place in itertools.count():
                    await add(each, name := f"app-{number}-{place}")
                    confirmed.append(name)

        writers = asyncio.gather(*(write(each, number) for number, each in enumerate((store, other) * 4)))
        while len(confirmed) < 100:
            await asyncio.sleep(0)
        redis_server.kill()
        await writers
        redis_server.start()
        known = await other.snapshot()
        assert set(confirmed) <= set(known.applications)
        assert known.revision >= len(confirmed)
        await add(store, "after")

    play(scenario, redis_server)


@pytest.mark.parametrize(
    ("refuse", "allow", "why"),
    [
        pytest.param(("maxmemory", "1"), ("maxmemory", "0"), "no memory left", id="no memory"),
        pytest.param(("replicaof", "127.0.0.1 1"), ("replicaof", "no one"), "read-only replica", id="a replica"),
        pytest.param(
            ("dbfilename", "taken"), ("stop-writes-on-bgsave-error", "no"), "cannot save", id="no room on the disk"
        ),
    ],
)
def test_a_redis_that_takes_no_writes_is_told_with_why_and_still_read(
    redis_server: RedisServer, refuse: tuple[str, str], allow: tuple[str, str], why: str
) -> None:
    async def scenario(store: Store, other: Store) -> None:
        await add(store, "before")
        configure(redis_server, *refuse)
        for each in (store, other):
            with pytest.raises(StoreUnavailable, match=why):
                await add(each, "refused")
        assert set((await other.snapshot()).applications) == {"before"}
        configure(redis_server, *allow)
        assert set((await add(store, "after")).applications) == {"before", "after"}

    play(scenario, redis_server)


# What a change costs


def test_a_change_costs_redis_the_same_however_much_is_registered(redis_server: RedisServer) -> None:
    async def scenario(store: Store, other: Store) -> None:
        await add(store, "first")
        few = await cost_of(redis_server, add(store, "one-more"))
        await store.update(lambda _: [Change.put(application(f"app-{number:04}")) for number in range(2_000)])
        many = await cost_of(redis_server, add(store, "two-more"))
        assert many.commands == few.commands
        assert many.bytes < few.bytes + 64
        # Of a change that another process has made meanwhile, just that is read.
        await add(other, "other")
        late = await cost_of(redis_server, add(store, "three-more"))
        assert late.bytes < 4 * few.bytes

    play(scenario, redis_server)


def test_many_writers_at_once_are_in_nobodys_way(redis_server: RedisServer) -> None:
    async def scenario(store: Store, other: Store) -> None:
        await add(store, "first")
        few = await cost_of(redis_server, add(store, "one-more"))
        names = [f"app-{number}" for number in range(100)]
        many = await cost_of(redis_server, asyncio.gather(*(add(store, name) for name in names)))
        assert many.commands <= len(names) * few.commands
        assert set(names) <= set((await other.snapshot()).applications)

    play(scenario, redis_server)


class Cost(NamedTuple):
    """What work has cost Redis: commands, and bytes to and from it."""

    commands: int
    bytes: int


async def cost_of(server: RedisServer, work: Awaitable[object]) -> Cost:
    """What work cost."""
    client = server.client()

    def stats() -> Cost:
        told: Any = client.info("stats")
        traffic = told["total_net_input_bytes"] + told["total_net_output_bytes"]
        return Cost(told["total_commands_processed"], traffic)

    before = stats()
    await work
    after = stats()
    return Cost(after.commands - before.commands, after.bytes - before.bytes)


def configure(server: RedisServer, name: str, value: str) -> None:
    """Sets an option of Redis; with a name for its snapshots that is a directory's, one fails, too."""
    client: Any = server.client()
    if name == "replicaof":
        client.execute_command("REPLICAOF", *value.split())
        return
    client.config_set(name, value)
    if name == "dbfilename":
        (Path(client.config_get("dir")["dir"]) / value / "full").mkdir(parents=True)
        client.config_set("save", "3600 1")
        client.bgsave()
        wait_until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err")
