"""What policies derive from states that do not change, kept while they are in use."""

from collections.abc import Callable, Hashable
from typing import TypeVar

from services.query.engine.policies.policy import State

T = TypeVar("T")


def remembered(states: int) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Decorates a function of a state and hashable arguments: it is computed once for each state object and arguments.

    Args:
        states: how many results are kept, the newest ones.
    """

    def decorate(derive: Callable[..., T]) -> Callable[..., T]:
        # With each result its state, so that no other one can come to the same id.
        results: dict[Hashable, tuple[State, T]] = {}

        def derived(state: State, *arguments: Hashable) -> T:
            key = id(state), arguments
            known = results.get(key)
            if known is not None:
                return known[1]
            result = derive(state, *arguments)
            results[key] = state, result
            # Threads share it, and this way none minds another.
            for oldest in list(results)[:-states]:
                results.pop(oldest, None)
            return result

        return derived

    return decorate
