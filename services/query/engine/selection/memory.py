"""What policies derive from states that do not change, kept while they are in use."""

from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import TypeVar

from services.query.engine.selection.policy import State

T = TypeVar("T")


class _Identity:
    """A state as a key: equal only to itself, however alike another one is."""

    __slots__ = ("state",)

    def __init__(self, state: State) -> None:
        self.state = state

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and self.state is other.state

    def __hash__(self) -> int:
        return id(self.state)


def remembered(states: int) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Decorates a function of a state and hashable arguments: it is computed once for each state object and arguments.

    Args:
        states: how many results are kept, of those used last.
    """

    def decorate(derive: Callable[..., T]) -> Callable[..., T]:
        @lru_cache(maxsize=states)
        def derived(identity: _Identity, *arguments: Hashable) -> T:
            return derive(identity.state, *arguments)

        return lambda state, *arguments: derived(_Identity(state), *arguments)

    return decorate
