"""States as they lie in Redis: a hash for each context, name -> number as text."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from services.common.selection_records import ContextKey, State
from services.common.selection_store.keys import Keys

if TYPE_CHECKING:
    import redis.asyncio


async def read_states(client: "redis.asyncio.Redis", keys: Keys, contexts: Sequence[ContextKey]) -> list[State]:
    """The states of contexts, in one round trip; one that nothing was learned in has an empty state."""
    async with client.pipeline(transaction=False) as pipe:
        for context in contexts:
            pipe.hgetall(keys.context(context))
        return [{name: float(text) for name, text in texts.items()} for texts in await pipe.execute()]


def as_state(pairs: Sequence[str]) -> State:
    """The state that a script answered as name, text, name, text, ..."""
    return {name: float(text) for name, text in zip(pairs[::2], pairs[1::2], strict=True)}


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
