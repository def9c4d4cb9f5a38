"""What Redis keeps of predictions and of what was learned from them: in a moment, without chance."""

from services.common.lessons import FeedbackStatus, Lesson, Outcome
from services.common.selection_records import ContextKey, PredictionRecord, QueryKey, Recorded, State

_Mark = tuple[str, int, int | str]


class SimulatedStore:
    """Records, finds and learns as the selection store does.

    Attributes:
        states: what was learned, by context.
    """

    def __init__(self) -> None:
        self.states: dict[ContextKey, State] = {}
        self._recorded: dict[QueryKey, Recorded] = {}
        self._learned: set[_Mark] = set()

    def record(self, prediction: PredictionRecord, at_ms: int) -> None:
        """Keeps a prediction made at `at_ms`."""
        key = prediction.key
        self._recorded[QueryKey(key.application, key.registration, prediction.query_id)] = Recorded(prediction, at_ms)

    def join(self, query: QueryKey) -> Recorded | None:
        """A prediction; None when it is not known."""
        return self._recorded.get(query)

    def learn(self, lesson: Lesson) -> Outcome:
        """Learns a lesson, unless it was learned before."""
        key, before = lesson.key, self.states.get(lesson.key, {})
        mark = None if lesson.once is None else (key.application, key.registration, lesson.once)
        if mark in self._learned:
            return Outcome(FeedbackStatus.ALREADY_LEARNED, before)
        try:
            self.states[key] = _after(lesson, before)
        # The functions are a policy's, which may be anybody's.
        except Exception as error:
            return Outcome(FeedbackStatus.FAILED, error=error)
        if mark is not None:
            self._learned.add(mark)
        return Outcome(FeedbackStatus.LEARNED, self.states[key])


def _after(lesson: Lesson, before: State) -> State:
    if lesson.observe:
        return lesson.observe(before)
    after = {**before, **(lesson.init(before) if lesson.init else {})}
    for name, increment in (lesson.increments() if lesson.increments else {}).items():
        after[name] = after.get(name, 0.0) + increment
    return after
