"""States as they lie in Redis: a hash for each context, name -> number as text."""

import logging
import math
from collections.abc import Mapping, Sequence

from services.common.selection_records import ContextKey, State
from services.store.connection import Connection
from services.store.keys import Keys

_LOG = logging.getLogger(__name__)


async def read_states(connection: Connection, keys: Keys, contexts: Sequence[ContextKey]) -> list[State | None]:
    """The states of contexts, in one round trip: empty where nothing was learned, None where it is unreadable."""
    pipe = connection.client.pipeline(transaction=False)
    for context in contexts:
        pipe.hgetall(keys.context(context))
    found = await connection.ask(pipe.execute())
    return [_readable(key, texts) for key, texts in zip(contexts, found, strict=True)]


async def read_contexts(
    connection: Connection, keys: Keys, application: str, registration: int, start: int, count: int
) -> list[str]:
    """The contexts of an application that something was learned in, the latest first, from number `start`."""
    key = keys.contexts(application, registration)
    return [
        str(context) for context in await connection.ask(connection.client.zrevrange(key, start, start + count - 1))
    ]


def as_state(pairs: Sequence[str]) -> State:
    """The state that a script answered as name, text, name, text, ...

    Raises:
        ValueError: it is none.
    """
    return finite(dict(zip(pairs[::2], map(float, pairs[1::2]), strict=True)))


def _readable(key: ContextKey, texts: Mapping[str, str]) -> State | None:
    try:
        return finite({name: float(text) for name, text in texts.items()})
    except ValueError as error:
        _LOG.error("the state of a context cannot be read", extra={"key": key}, exc_info=error)
        return None


def finite(values: Mapping[str, float]) -> dict[str, float]:
    """What a policy gave, if Redis can keep it.

    Raises:
        ValueError: a number is not finite.
    """
    numbers = {name: float(value) for name, value in values.items()}
    for name, number in numbers.items():
        if not math.isfinite(number):
            raise ValueError(f"'{name}' would be {number} in the state of a selection policy")
    return numbers
