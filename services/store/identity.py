"""Which store it is: by its instance, by a revision that never goes back, and by the changes that led there.

A Redis that was emptied, started with older files or exchanged for another cluster's looks like any other, and an older
copy that somebody goes on with is soon as far as the store was. Whoever has worked with a store knows better: it
neither reads from nor writes to one that has not all that it has seen.
"""

import json
import uuid
from collections.abc import Sequence
from typing import Any, NamedTuple

from services.common.errors import StoreReplaced
from services.store.connection import Connection, Script
from services.store.keys import Keys

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

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._keys = keys
        self._introduce = connection.script("clock", "introduce")
        self._locate = connection.script("position", "locate")
        self._carry_out = connection.script("carry_out")
        self._known: Position | None = None

    async def known(self) -> Position:
        """How far the store is known; at first, no further than its id, which it is given if it has none."""
        if self._known is None:
            instance = await self._introduce([self._keys.instance], [uuid.uuid4().hex])
            # Somebody else of this process may have looked meanwhile.
            self._known = self._known or Position(str(instance), 0)
        return self._known

    def reached(self, position: Position) -> None:
        """Notes how far the store is. Answers may come in another order than they were given in."""
        if self._known is None or position.revision > self._known.revision:
            self._known = position

    def accept(self, answer: Sequence[str], earlier: Position) -> Position:
        """Where the store is that was at an earlier position when it was asked.

        Args:
            answer: its instance and revision, and the ids of the changes that made that and the earlier revision, as
                the scripts tell them; empty is what is not known.
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
        [answer] = await self._locate(self._keys.position, [earlier.revision])
        return self.accept(answer, earlier)

    async def carry_out(self, *commands: Sequence[str | int]) -> list[Any]:
        """What Redis answers to commands, carried out as one, on no other store than the one that is known.

        Args:
            commands: the words of each, of which the second is the key.

        Raises:
            StoreReplaced: it is another one.
        """
        await self.check()
        keys = [self._keys.instance]
        lines = []
        for name, key, *words in commands:
            keys.append(str(key))
            lines.append(json.dumps([name, len(keys), *map(str, words)]))
        answers: list[Any] = await self.ask_known(self._carry_out, keys, lines)
        return answers

    async def ask_known(self, script: Script, keys: Sequence[str], args: Sequence[str | int]) -> Any:
        """What a script answers that is given the instance first, and answers nothing where that is another one.

        Raises:
            StoreReplaced: it is.
        """
        known = await self.known()
        answer = await script(keys, [known.instance, *args])
        if answer is None:
            await self.check()
            raise StoreReplaced("The configuration store was another one for a moment")
        return answer
