"""What selection policies have learned, as far as this query service knows it: the states of contexts, and their age.

A state is read when it is asked for, never otherwise. A young one is used as it is; an older one is used and read again
behind the query's back; one that is too old, or not known at all, is waited for. So a query waits for one read at most,
and for none in a context that is in use, and no state that is used is older than `_STALE_S`, unless Redis is away. A
context in which nothing was learned yet begins with what the policy makes of the common state, that of queries without
a context; it is read along with it.
"""

import math
from collections import OrderedDict
from typing import NamedTuple

from services.common.selection_records import NOTHING, ContextKey
from services.query.engine.effects import Outbox
from services.query.engine.policies.policy import State
from services.query.engine.policies.selector import Selector

_FRESH_S = 0.1
_STALE_S = 1.0
_MOST_CONTEXTS = 20_000


class Known(NamedTuple):
    """A state, and when it was known to be that."""

    state: State
    known_s: float


class _Context:
    """One context.

    Attributes:
        learned: what was learned in it.
        state: the same, or what it begins with, completed for `arms`.
        arms: those for which the state was completed last.
        known_s: when that was so; -infinity while nothing is known.
        asked_s: when it was read last.
        is_reading: whether an answer to that is still to come.
        is_away: whether the last read failed or took too long, so that nobody is to wait for the next.
    """

    __slots__ = ("arms", "asked_s", "is_away", "is_reading", "known_s", "learned", "state")

    def __init__(self) -> None:
        self.learned: State = NOTHING
        self.state: State = NOTHING
        self.arms: tuple[str, ...] | None = None
        self.known_s = -math.inf
        self.asked_s = -math.inf
        self.is_reading = False
        self.is_away = False

    def renew(self, state: State, now_s: float) -> None:
        self.learned = state
        self.arms = None
        self.known_s = now_s
        self.is_away = False

    def complete(self, selector: Selector, beginning: State) -> None:
        self.state = selector.complete(self.learned or beginning)
        self.arms = selector.arms


class Contexts:
    """The states in use, the least recently used of which give way to others.

    Args:
        outbox: takes what is to be read.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._contexts: OrderedDict[ContextKey, _Context] = OrderedDict()

    def state(self, key: ContextKey, selector: Selector, now_s: float) -> State | None:
        """The state to decide with; None when it is to be waited for. Has it read if it is not young."""
        context = self._context(key)
        if not context.learned and key.context:
            # What it begins with is to be there when the answer comes.
            common = selector.key("")
            self._read_if_old(common, self._context(common), now_s)
        self._read_if_old(key, context, now_s)
        if now_s - context.known_s < _STALE_S or context.is_away:
            return self._completed(key, context, selector)
        return None

    def known(self, key: ContextKey, selector: Selector) -> State:
        """The state as far as it is known, however old."""
        return self._completed(key, self._contexts.get(key) or _Context(), selector)

    def beginning(self, key: ContextKey, selector: Selector) -> State:
        """What a context starts with when nothing was learned in it yet, by what is known of those without one."""
        common = self._contexts.get(selector.key("")) if key.context else None
        return NOTHING if common is None else selector.begin(common.learned)

    def last(self, key: ContextKey) -> Known | None:
        """What was known of a context last and when, for people; any thread may ask."""
        context = self._contexts.get(key)
        return None if context is None or context.known_s == -math.inf else Known(context.learned, context.known_s)

    def read(self, key: ContextKey, state: State | None, now_s: float) -> None:
        """Takes what was read; None when Redis did not answer."""
        context = self._context(key)
        context.is_reading = False
        if state is None:
            context.is_away = True
        elif context.known_s <= context.asked_s:
            context.renew(state, now_s)
        # Otherwise something was learned since it was asked for, and the answer may be older than that.

    def miss(self, key: ContextKey) -> None:
        """Has nobody wait any longer for what is being read."""
        self._context(key).is_away = True

    def learned(self, key: ContextKey, state: State, now_s: float) -> None:
        """Takes the state that feedback has led to."""
        self._context(key).renew(state, now_s)

    def _read_if_old(self, key: ContextKey, context: _Context, now_s: float) -> None:
        age_s = now_s - max(context.known_s, context.asked_s)
        if age_s >= _FRESH_S and not context.is_reading:
            context.is_reading = True
            context.asked_s = now_s
            self._outbox.effects.reads.append(key)

    def _completed(self, key: ContextKey, context: _Context, selector: Selector) -> State:
        if context.arms != selector.arms:
            context.complete(selector, NOTHING if context.learned else self.beginning(key, selector))
        return context.state

    def _context(self, key: ContextKey) -> _Context:
        context = self._contexts.get(key)
        if context is None:
            context = self._contexts[key] = _Context()
            if len(self._contexts) > _MOST_CONTEXTS:
                self._contexts.popitem(last=False)
        else:
            self._contexts.move_to_end(key)
        return context
