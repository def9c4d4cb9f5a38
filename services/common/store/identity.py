"""Which store it is: by its instance, by a revision that never goes back, and by the changes that led there.

A Redis that was emptied, started with older files or exchanged for another cluster's looks like any other, and an older
copy that somebody goes on with is soon as far as the store was. Whoever has worked with a store knows better: it
neither reads from nor writes to one that has not all that it has seen.
"""

import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from services.common.errors import StoreReplaced
from services.common.store import scripts
from services.common.store.keys import Keys

if TYPE_CHECKING:
    import redis.asyncio

_REMEDY = (
    "Put the right one back. If this one is meant, restart the management and the query services: "
    "they take what is there"
)


class Position(NamedTuple):
    """A store at a time.

    Attributes:
        instance: its id.
        revision: of its configuration.
        change: the id of the change that made the revision; empty: not known.
    """

    instance: str
    revision: int
    change: str = ""


class Identity:
    """The store that somebody works with, from the first look on."""

    def __init__(self, client: "redis.asyncio.Redis", keys: Keys) -> None:
        self._redis = client
        self._keys = keys
        self._introduce = client.register_script(scripts.INTRODUCE)
        self._locate = client.register_script(scripts.LOCATE)
        self._known: Position | None = None

    async def known(self) -> Position:
        """How far the store is known; at first, no further than its id, which it is given if it has none."""
        if self._known is None:
            instance = await self._introduce(keys=[self._keys.instance], args=[uuid.uuid4().hex])
            self._known = Position(str(instance), 0)
        return self._known

    def reached(self, position: Position) -> None:
        """Notes how far the store is. Answers may come in another order than they were given in."""
        if self._known is None or position.revision > self._known.revision:
            self._known = position

    def accept(self, answer: Sequence[str], earlier: Position) -> Position:
        """Where the store is that was at an earlier position when it was asked.

        Args:
            answer: its instance and revision, and the ids of the changes that made that and the earlier revision, as
            the
                scripts tell them; empty is what is not known.
            earlier: the earlier position.

        Raises:
            StoreReplaced: it is not that store.
        """
        instance, revision, change, change_then = answer
        if instance != earlier.instance:
            found = f"another one, {instance}" if instance else "an empty one"
            raise StoreReplaced(f"In the place of the configuration store {earlier.instance} is {found}. {_REMEDY}")
        has_lost = change_then and earlier.change and change_then != earlier.change
        if int(revision) < earlier.revision or has_lost:
            raise StoreReplaced(
                f"The configuration store {instance} is an older copy: it has another revision {earlier.revision}. "
                f"{_REMEDY}"
            )
        position = Position(instance, int(revision), change)
        self.reached(position)
        return position

    async def check(self) -> Position:
        """Where the store is.

        Raises:
            StoreReplaced: it is not the one that is known.
        """
        earlier = await self.known()
        [answer] = await self._locate(keys=self._keys.configuration, args=[earlier.revision])
        return self.accept(answer, earlier)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        """A transaction to queue commands in and to execute, on no other store than the one that is known.

        Raises:
            StoreReplaced: it is another one.
        """
        await self.known()
        async with self._redis.pipeline(transaction=True) as pipe:
            await pipe.watch(self._keys.instance)
            await self.check()
            pipe.multi()  # type: ignore[no-untyped-call]
            yield pipe
