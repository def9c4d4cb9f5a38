"""The configuration: read as a whole, changed by what changes, followed from one revision to the next."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from services.common.errors import CallerError, describe
from services.common.record_codec import decode, encode
from services.common.records import Change, Configuration, Kind, Record
from services.store.connection import Connection
from services.store.identity import Identity, Position
from services.store.keys import Keys

# Long enough that a query service which was away for a while catches up from the stream; a longer absence costs it one
# snapshot.
_CHANGES_KEPT = 10_000
# That a store was emptied is noticed when this is over.
_FOLLOW_BLOCK_MS = 1_000
# Of the hashes that a change is written to.
_FIRST_KEY = 4

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


class _Known(NamedTuple):
    """A configuration, and where the store was with it."""

    at: Position
    configuration: Configuration


class Configurations:
    """Reads, changes and follows.

    Args:
        connection: to Redis.
        keys: the store's keys.
        identity: which store it is.
        on_read: shown each configuration that is read or made.
    """

    def __init__(
        self,
        connection: Connection,
        keys: Keys,
        identity: Identity,
        on_read: Callable[[Configuration], None],
    ) -> None:
        self._redis = connection
        self._keys = keys
        self._identity = identity
        self._on_read = on_read
        self._read = connection.script("position", "snapshot")
        self._read_changes = connection.script("position", "catch_up")
        self._commit = connection.script("commit")
        # What changes are decided on. Redis takes none that was decided on anything but the newest.
        self._latest: _Known | None = None
        # Changes of one process would only be in each other's way.
        self._turn = asyncio.Lock()

    async def snapshot(self) -> Configuration:
        """Everything registered, as of one revision."""
        return (await self._snapshot()).configuration

    async def update(self, decide: Decision) -> Configuration:
        """Changes the configuration atomically, at a price that does not depend on its size."""
        async with self._turn:
            known, is_fresh = self._latest, False
            while True:
                if known is None:
                    known, is_fresh = await self._snapshot(), True
                try:
                    changes = decide(known.configuration)
                except CallerError:
                    # Others may have changed something meanwhile, or somebody by hand.
                    if is_fresh:
                        raise
                    changes = ()
                if changes:
                    written = await self._write(known, changes)
                    if written is not None:
                        return written.configuration
                    known, is_fresh = await self._catch_up(known), False
                elif is_fresh:
                    return known.configuration
                else:
                    known = None

    async def follow(self, revision: int) -> AsyncIterator[tuple[int, list[Change]]]:
        """Yields each revision after `revision` with its changes, for ever."""
        at = (await self._identity.known())._replace(revision=revision)
        while True:
            reply = await self._after(at, _FOLLOW_BLOCK_MS)
            if not reply and (await self._identity.check()).revision != at.revision:
                reply = await self._after(at)
                if not reply:
                    raise RevisionGap(at.revision, f"the store's revision is no longer {at.revision}")
            for entry_id, fields in _entries(reply):
                at, changes = _next(at, entry_id, fields)
                self._identity.reached(at)
                yield at.revision, changes

    async def _after(self, at: Position, block_ms: int | None = None) -> Any:
        question = self._redis.client.xread({self._keys.changes: f"{at.revision}-0"}, block=block_ms)
        return await self._redis.ask(question)

    async def _snapshot(self) -> _Known:
        earlier = await self._identity.known()
        hashes = (self._keys.records(kind) for kind in Kind)
        position, *found = await self._read([*self._keys.position, *hashes], [earlier.revision])
        at = self._identity.accept(position, earlier)
        return self._take(at, Configuration().apply(at.revision, _records(found)))

    async def _write(self, known: _Known, changes: Sequence[Change]) -> _Known | None:
        """What is known with the changes; None when they were decided on what is no longer so."""
        hashes = list(dict.fromkeys(self._keys.records(change.kind) for change in changes))
        entry: list[list[str | None]] = []
        writes: list[str | int] = []
        for change in changes:
            text = encode(change.record) if isinstance(change.record, Record) else None
            entry.append([change.kind, change.key, text])
            writes += [hashes.index(self._keys.records(change.kind)) + _FIRST_KEY, change.key, text or ""]
        at, configuration = known
        after = Position(at.instance, at.revision + 1, uuid.uuid4().hex)
        is_written = await self._commit(
            [*self._keys.position, *hashes],
            [*at, after.change, json.dumps(entry), _CHANGES_KEPT, *writes],
        )
        if not is_written:
            return None
        self._identity.reached(after)
        return self._take(after, configuration.apply(after.revision, changes))

    async def _catch_up(self, known: _Known) -> _Known:
        """The newest configuration, from what has changed since an earlier one if all of that can be told."""
        at, configuration = known
        position, entries = await self._read_changes(self._keys.position, [at.revision])
        newest = self._identity.accept(position, at)
        try:
            for entry_id, fields in entries:
                at, changes = _next(at, entry_id, dict(_pairs(fields)))
                configuration = configuration.apply(at.revision, changes)
        except RevisionGap:
            return await self._snapshot()
        return self._take(at, configuration) if at == newest else await self._snapshot()

    def _take(self, at: Position, configuration: Configuration) -> _Known:
        self._latest = _Known(at, configuration)
        self._on_read(configuration)
        return self._latest


def _records(hashes: Sequence[Sequence[str]]) -> Iterator[Change]:
    for kind, found in zip(Kind, hashes, strict=True):
        for key, text in _pairs(found):
            yield Change(kind, key, decode(kind, key, text))


def _pairs(flat: Sequence[str]) -> Iterator[tuple[str, str]]:
    return zip(flat[::2], flat[1::2], strict=True)


def _entries(reply: Any) -> Iterator[tuple[str, dict[str, str]]]:
    for _stream, entries in reply:
        yield from entries


def _next(at: Position, entry_id: str, fields: Mapping[str, str]) -> tuple[Position, list[Change]]:
    """The next position of the store, and the changes that led there, as an entry of the stream tells.

    Raises:
        RevisionGap: it tells of another one.
        UnreadableChange: it cannot be read.
    """
    after = Position(fields.get("instance", at.instance), int(entry_id.partition("-")[0]), fields.get("id", ""))
    if after[:2] != (at.instance, at.revision + 1):
        raise RevisionGap(at.revision, f"revision {after.revision} of {after.instance} follows {at.revision}")
    try:
        return after, _decode_changes(fields["changes"])
    except Exception as error:
        raise UnreadableChange(at.revision, describe(error)) from error


def _decode_changes(text: str) -> list[Change]:
    changes = []
    for kind, key, record in json.loads(text):
        if not isinstance(key, str):
            raise TypeError(f"the key of a change cannot be {key!r}")
        changes.append(Change(Kind(kind), key, None if record is None else decode(Kind(kind), key, record)))
    return changes
