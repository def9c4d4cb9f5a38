"""Learning where observations add up: one script call learns many, and nobody waits for anybody."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from services.common.lessons import Addition, FeedbackStatus, Outcome
from services.common.selection_records import NOTHING, ContextKey, State
from services.common.selection_store import codec, scripts
from services.common.selection_store.keys import Keys
from services.common.selection_store.plan import Plan
from services.common.selection_store.states import as_state, finite, read_states

if TYPE_CHECKING:
    import redis.asyncio

_MOST_KNOWN_STATES = 256


class Additions:
    """Learns additions, for one task at a time."""

    def __init__(self, client: "redis.asyncio.Redis", keys: Keys, events_kept: int) -> None:
        self._redis = client
        self._keys = keys
        self._events_kept = events_kept
        self._script = client.register_script(scripts.ADD)
        # Saves a read before each addition that asks what the state lacks. It need not be the newest state: names are
        # only ever added, and the script notices one that was forgotten and begun again.
        self._known: OrderedDict[ContextKey, State] = OrderedDict()

    async def learn(self, additions: Sequence[Addition]) -> list[Outcome]:
        """Learns all of them at once."""
        outcomes: dict[int, Outcome] = {}
        while waiting := [number for number in range(len(additions)) if number not in outcomes]:
            await self._know(additions[number].key for number in waiting if additions[number].init)
            plan = _AdditionPlan(self._keys)
            for number in waiting:
                try:
                    plan.add(number, additions[number], self._known)
                # The functions are a policy's, which may be anybody's.
                except Exception as error:
                    outcomes[number] = Outcome(FeedbackStatus.FAILED, error=error)
            if plan.lessons:
                answer = await plan.carry_out(self._script, plan.document, self._events_kept)
                outcomes.update(self._outcomes(plan, answer))
        return [outcomes[number] for number in range(len(additions))]

    async def _know(self, keys: Iterable[ContextKey]) -> None:
        unknown = [key for key in dict.fromkeys(keys) if key not in self._known]
        if unknown:
            self._known.update(zip(unknown, await read_states(self._redis, self._keys, unknown), strict=True))

    def _outcomes(self, plan: "_AdditionPlan", answer: Any) -> dict[int, Outcome]:
        """The outcomes by number; a lesson whose context was forgotten meanwhile has none yet."""
        codes, *pairs = answer
        states = dict(zip(plan.contexts, map(as_state, pairs), strict=True))
        for key, state in states.items():
            self._known[key] = state
            self._known.move_to_end(key)
        while len(self._known) > _MOST_KNOWN_STATES:
            self._known.popitem(last=False)
        return {
            number: _outcome(FeedbackStatus(code), states[key])
            for (number, key), code in zip(plan.lessons, codes, strict=True)
            if code != scripts.CHANGED
        }


class _AdditionPlan(Plan):
    """What the script is to add.

    Attributes:
        contexts: the contexts that it is about.
        lessons: the number of each lesson, and its context.
        document: tells the script.
    """

    def __init__(self, keys: Keys) -> None:
        super().__init__(keys)
        self.contexts: dict[ContextKey, int] = {}
        self.lessons: list[tuple[int, ContextKey]] = []
        self.document: dict[str, list[dict[str, object]]] = {"contexts": [], "lessons": []}

    def add(self, number: int, addition: Addition, known: Mapping[ContextKey, State]) -> None:
        """Takes one more; what its function raises passes through and nothing is changed."""
        key = addition.key
        init = finite(addition.init(known[key])) if addition.init else {}
        increments = finite(addition.increments())
        if key not in self.contexts:
            self.document["contexts"].append(self.context(key))
            self.contexts[key] = len(self.contexts) + 1
        lesson = {
            "context": self.contexts[key],
            "names": len(known[key]) if addition.init else 0,
            "init": init,
            "increments": increments,
        }
        self.document["lessons"].append(lesson | self.marker(key, addition.once))
        self.lines.append(codec.encode_event(addition.event))
        self.lessons.append((number, key))


def _outcome(status: FeedbackStatus, state: State) -> Outcome:
    return Outcome(status, NOTHING if status is FeedbackStatus.UNKNOWN_QUERY else state)
