"""Learning: many lessons in one step inside Redis, whether they add to a state or compare it and set it.

What adds up is learned whoever else learns in the same context. What does not is made of the state that was found, and
written if nobody else has written meanwhile; else it is made again.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from services.common.errors import StoreUnavailable
from services.common.lessons import FeedbackStatus, Lesson, Mark, Observe, Outcome
from services.common.selection_records import NOTHING, ContextKey, State
from services.store import codec
from services.store.connection import Connection
from services.store.keys import Keys
from services.store.plan import Plan
from services.store.states import as_state, finite

_MOST_KNOWN_STATES = 256
# What the script says of a lesson that is to be made again.
_CHANGED = "changed"
# No state has as many names, so nothing is written.
_NOT_KNOWN = 10**9


class Lessons:
    """Learns lessons, for one task at a time."""

    def __init__(self, connection: Connection, keys: Keys, events_kept: int) -> None:
        self._keys = keys
        self._events_kept = events_kept
        self._script = connection.script("clock", "applications", "learn")
        # Saves a reading before each lesson that asks what the state lacks. It need not be the newest state: names are
        # only ever added, and the script notices one that was forgotten and begun again.
        self._known: OrderedDict[ContextKey, State] = OrderedDict()

    async def learn(self, lessons: Sequence[Lesson]) -> list[Outcome]:
        """Learns all of them, those at once that can be.

        Raises:
            StoreUnavailable: Redis confirmed none of them. If it confirmed some, the others are UNAVAILABLE.
        """
        known = {lesson.key: self._known[lesson.key] for lesson in lessons if lesson.init and lesson.key in self._known}
        learning = _Learning(lessons, known)
        try:
            while (plan := learning.plan(self._keys)).numbers:
                learning.note(plan, await plan.carry_out(self._script, plan.document, self._events_kept))
        except StoreUnavailable as error:
            if not learning.give_up(error):
                raise
        self._remember(learning.states)
        return learning.outcomes()

    def _remember(self, states: Mapping[ContextKey, State]) -> None:
        for key, state in states.items():
            self._known[key] = state
            self._known.move_to_end(key)
        while len(self._known) > _MOST_KNOWN_STATES:
            self._known.popitem(last=False)


class _Learning:
    """Lessons on their way, which takes as many steps as others are in it.

    Attributes:
        states: the state of each context, as it was last found.
    """

    def __init__(self, lessons: Sequence[Lesson], states: dict[ContextKey, State]) -> None:
        self._lessons = lessons
        self.states = states
        self._statuses: dict[int, FeedbackStatus] = {}
        self._errors: dict[int, Exception] = {}

    def plan(self, keys: Keys) -> "_LearningPlan":
        """What the script is to do next: nothing, once all is decided."""
        plan = _LearningPlan(keys)
        for number, lesson in enumerate(self._lessons):
            if number not in self._statuses:
                try:
                    plan.take(number, lesson, self.states.get(lesson.key))
                # The functions are a policy's, which may be anybody's.
                except Exception as error:
                    self._fail(number, FeedbackStatus.FAILED, error)
        return plan

    def note(self, plan: "_LearningPlan", answer: Any) -> None:
        """Takes what the script says of a plan; lessons that have CHANGED are decided by none yet."""
        verdicts, *found = answer
        unreadable: dict[ContextKey, Exception] = {}
        for key, pairs in zip(plan.contexts, found, strict=True):
            try:
                self.states[key] = as_state(pairs)
            # It may be anything, and is to harm this context alone.
            except ValueError as error:
                unreadable[key] = error
        for number, verdict in zip(plan.numbers, verdicts, strict=True):
            key = self._lessons[number].key
            if key in unreadable:
                self._fail(number, FeedbackStatus.FAILED, unreadable[key])
            elif verdict == FeedbackStatus.FAILED.value:
                self._fail(number, FeedbackStatus.FAILED, ValueError(f"nothing can be added to the state of {key}"))
            elif verdict != _CHANGED:
                self._statuses[number] = FeedbackStatus(verdict)

    def give_up(self, error: Exception) -> bool:
        """Decides what is undecided as Redis is away; returns whether anything was decided before."""
        has_decided = bool(self._statuses)
        for number in range(len(self._lessons)):
            if number not in self._statuses:
                self._fail(number, FeedbackStatus.UNAVAILABLE, error)
        return has_decided

    def outcomes(self) -> list[Outcome]:
        """What became of the lessons, once all is decided."""
        return [self._outcome(number, lesson) for number, lesson in enumerate(self._lessons)]

    def _outcome(self, number: int, lesson: Lesson) -> Outcome:
        status = self._statuses[number]
        has_state = status in (FeedbackStatus.LEARNED, FeedbackStatus.ALREADY_LEARNED)
        return Outcome(status, self.states[lesson.key] if has_state else NOTHING, self._errors.get(number))

    def _fail(self, number: int, status: FeedbackStatus, error: Exception) -> None:
        self._statuses[number] = status
        self._errors[number] = error


class _LearningPlan(Plan):
    """One step.

    Attributes:
        contexts: the contexts that it is about, as the script is told of them.
        numbers: which lessons it has, in their order.
    """

    def __init__(self, keys: Keys) -> None:
        super().__init__(keys)
        self.contexts: dict[ContextKey, dict[str, Any]] = {}
        self.numbers: list[int] = []
        self._lessons: list[dict[str, object]] = []
        self._after: dict[ContextKey, State] = {}
        self._marks: set[Mark] = set()

    @property
    def document(self) -> dict[str, object]:
        """Tells the script."""
        for key, after in self._after.items():
            self.contexts[key]["after"] = {name: repr(value) for name, value in after.items()}
        return {"contexts": list(self.contexts.values()), "lessons": self._lessons}

    def take(self, number: int, lesson: Lesson, state: State | None) -> None:
        """Takes a lesson, made of the state of its context; of None, which has it looked up.

        What the lesson's functions raise passes through, and nothing is changed.
        """
        if state is None and (lesson.init or lesson.observe):
            self._put(number, lesson, {"names": _NOT_KNOWN}, {"is_made": False})
        elif lesson.increments:
            init = finite(lesson.init(state or NOTHING)) if lesson.init else {}
            names = len(state or NOTHING) if lesson.init else 0
            increments = finite(lesson.increments())
            self._put(number, lesson, {"names": names}, {"is_made": True, "init": init, "increments": increments})
        elif lesson.observe:
            self._compare(number, lesson, lesson.observe, state or NOTHING)

    def _compare(self, number: int, lesson: Lesson, observe: Observe, state: State) -> None:
        # The same feedback told twice is learned from one after the other.
        if lesson.mark in self._marks:
            return
        after = finite(observe(self._after.get(lesson.key, state)))
        self._put(number, lesson, {"names": len(state), "before": dict(state)}, {"is_made": True})
        self._after[lesson.key] = after
        if lesson.mark is not None:
            self._marks.add(lesson.mark)

    def _put(
        self, number: int, lesson: Lesson, of_context: Mapping[str, object], of_lesson: Mapping[str, object]
    ) -> None:
        if of_lesson["is_made"]:
            self.lines.append(codec.encode_event(lesson.event))
        if lesson.key not in self.contexts:
            self.contexts[lesson.key] = {"place": len(self.contexts) + 1, **self.context(lesson.key)}
        context = self.contexts[lesson.key]
        context |= of_context
        self._lessons.append({"context": context["place"], **self.marker(lesson.key, lesson.once), **of_lesson})
        self.numbers.append(number)
