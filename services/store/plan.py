"""What a script is given: the keys that it touches, each by a number, and one line of JSON for each record."""

from typing import Any

import orjson

from services.common.selection_records import ContextKey
from services.store.connection import Script
from services.store.keys import Keys


class Plan:
    """Collects what one call of a script needs.

    Attributes:
        lines: a record or an event for each thing to do.
    """

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._numbers: dict[str, int] = {}
        self.lines: list[bytes] = []
        self.number(keys.applications)

    def number(self, key: str) -> int:
        """The number of a key."""
        return self._numbers.setdefault(key, len(self._numbers) + 1)

    def context(self, key: ContextKey) -> dict[str, object]:
        """A context and where everything of it lies."""
        owner = key.application, key.registration
        return {
            "application": key.application,
            "registration": key.registration,
            "name": key.context,
            "key": self.number(self._keys.context(key)),
            "contexts": self.number(self._keys.contexts(*owner)),
            "events": self.number(self._keys.feedback_events(*owner)),
            "predictions": self.number(self._keys.prediction_events(*owner)),
        }

    def marker(self, key: ContextKey, once: int | str | None) -> dict[str, object]:
        """Where it is marked that something was learned; the key 0: nowhere."""
        if once is None:
            return {"marker": 0, "slot": 0}
        marker = self._keys.learned(key.application, key.registration, once)
        return {"marker": self.number(marker.key), "slot": marker.slot}

    async def carry_out(self, script: Script, document: object, events_kept: int) -> Any:
        """Calls a script with a document that says what to do with the keys and the lines."""
        return await script(list(self._numbers), [orjson.dumps(document), b"\n".join(self.lines), events_kept])
