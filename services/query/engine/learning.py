"""How feedback is learned: joined with its prediction, or with what all models say to its input, then handed over.

Feedback by query id looks for its prediction among the recent ones, then in the store, and there again for a while,
since another query service may have made it just now. Feedback on an input asks all models first. Either becomes
a lesson for the store; what comes back decides. A request is reported as taught when all of its feedback is answered.
"""

from services.common.errors import StoreUnavailable
from services.common.lessons import FeedbackStatus, Outcome
from services.common.selection_records import NOTHING, PredictionRecord, Recorded, State
from services.query.engine import refusal
from services.query.engine.choosing.chooser import Chooser
from services.query.engine.deadlines import Deadlines
from services.query.engine.effects import Outbox
from services.query.engine.feedback import Feedback, FeedbackRequest
from services.query.engine.policies.policy import Choice
from services.query.engine.policies.selector import Selector
from services.query.engine.policies.static import Single
from services.query.engine.recent import RecentPredictions
from services.query.engine.requests import NOBODY, Pick, Query, Request, Selection

# Another query service records a prediction once it has gathered some, or in a while when it has much to do.
_LOOK_AGAIN_AFTER_S = (0.1, 0.2, 0.3)
# Nobody waits for these answers as for a prediction, so the models have several latency objectives for them.
_OBJECTIVES = 4.0
_SHORTEST_S = 1.0
_HAS_STATE = (FeedbackStatus.LEARNED, FeedbackStatus.ALREADY_LEARNED)


class Learning:
    """Takes feedback through its life.

    Args:
        chooser: asks the models, and keeps what was learned.
        recent: the predictions made here just now.
        deadlines: takes who waits, for `look_again`.
        outbox: takes what is to be read and learned, and what became of the feedback.
    """

    def __init__(
        self,
        chooser: Chooser,
        recent: RecentPredictions,
        deadlines: Deadlines,
        outbox: Outbox,
    ) -> None:
        self._chooser = chooser
        self._recent = recent
        self._deadlines = deadlines
        self._outbox = outbox

    def feedback(self, request: FeedbackRequest, now_s: float) -> None:
        """Takes a request with at least one item."""
        for feedback in request.feedback:
            selector = request.route.selector
            if feedback.item.input is not None:
                self._evaluate(feedback, feedback.item.input, now_s)
            elif selector is None or not selector.arms:
                self._answer(feedback, FeedbackStatus.LEARNED)
            else:
                self._look(feedback, now_s)

    def look_again(self, feedback: Feedback) -> None:
        """Looks for a prediction in the store once more."""
        self._outbox.effects.joins.append(feedback)

    def joined(self, feedback: Feedback, found: Recorded | Exception | None, now_s: float) -> None:
        """Takes the prediction that the store has found; None when it has none, an error when it cannot tell."""
        if isinstance(found, Exception):
            self._fail(feedback, found)
        elif found is not None:
            # What lies in the store may be anything, and is to harm this feedback alone.
            try:
                self._join(feedback, found.prediction, found.at_ms)
            except Exception as error:
                self._fail(feedback, error)
        elif feedback.looks < len(_LOOK_AGAIN_AFTER_S):
            feedback.deadline_s = now_s + _LOOK_AGAIN_AFTER_S[feedback.looks]
            feedback.looks += 1
            self._deadlines.add(feedback)
        else:
            self._answer(feedback, FeedbackStatus.UNKNOWN_QUERY)

    def evaluated(self, feedback: Feedback, selector: Selector, query: Query, pick: Pick) -> None:
        """Takes what the models say to an input."""
        route = feedback.request.route
        if not pick.outputs:
            self._fail(feedback, refusal.error(query, route.slo_s))
            return
        key = selector.key(feedback.item.context)
        # As if all had been asked.
        away = tuple(arm for arm in selector.arms if arm not in pick.outputs)
        prediction = PredictionRecord(key, 0, 1.0, pick.outputs, "", False, selector.arms, pick.features, away=away)
        if route.selector is None:
            feedback.judge(selector, prediction)
            self._answer(feedback, FeedbackStatus.LEARNED)
        else:
            self._teach(feedback, selector, prediction, None)

    def learned(self, feedback: Feedback, outcome: Outcome | Exception, now_s: float) -> None:
        """Takes what became of a lesson; an error when the store does not say."""
        if isinstance(outcome, Exception):
            self._fail(feedback, outcome)
            return
        if outcome.status in _HAS_STATE and feedback.lesson is not None:
            self._chooser.contexts.learned(feedback.lesson.key, outcome.state, now_s)
        self._answer(feedback, outcome.status, outcome.error)

    def _evaluate(self, feedback: Feedback, data: bytes, now_s: float) -> None:
        """Shows an input to all models."""
        route, context = feedback.request.route, feedback.item.context
        deadline_s = now_s + max(_SHORTEST_S, _OBJECTIVES * route.slo_s)
        request = Request(route, None, [data], 0, now_s, deadline_s, NOBODY, context)
        selector = route.selector or Selector(route.application, Single({}))
        state = self._chooser.contexts.known(selector.key(context), selector)
        pick = Pick(Choice(tuple(route.versions), 1.0), selector.features(data))
        self._chooser.ask_all(request, Evaluated(selector, state, pick, feedback, self), now_s)

    def _look(self, feedback: Feedback, now_s: float) -> None:
        recent = self._recent.find(feedback.query.query_id, now_s)
        if recent is None:
            self._outbox.effects.joins.append(feedback)
        else:
            prediction, asked_s = recent
            self._join(feedback, prediction, feedback.request.at_ms - round((now_s - asked_s) * 1e3))

    def _join(self, feedback: Feedback, prediction: PredictionRecord, predicted_at_ms: int) -> None:
        """Learns from a prediction that was found, unless it is another application's or too old."""
        selector, application = feedback.request.route.selector, feedback.request.route.application
        age_ms = feedback.request.at_ms - predicted_at_ms
        is_ours = prediction.key[:2] == (application.name, application.registration)
        if selector is None or not is_ours or age_ms > application.feedback_window_s * 1_000:
            self._answer(feedback, FeedbackStatus.UNKNOWN_QUERY)
        else:
            self._teach(feedback, selector, prediction, predicted_at_ms)

    def _teach(
        self, feedback: Feedback, selector: Selector, prediction: PredictionRecord, predicted_at_ms: int | None
    ) -> None:
        beginning = self._chooser.contexts.beginning(prediction.key, selector)
        feedback.teach(selector, prediction, predicted_at_ms, beginning)
        self._outbox.effects.lessons.append(feedback)

    def _fail(self, feedback: Feedback, error: Exception) -> None:
        is_away = isinstance(error, StoreUnavailable)
        self._answer(feedback, FeedbackStatus.UNAVAILABLE if is_away else FeedbackStatus.FAILED, error)

    def _answer(self, feedback: Feedback, status: FeedbackStatus, error: Exception | None = None) -> None:
        feedback.status = status
        feedback.error = error
        if status is not FeedbackStatus.LEARNED:
            feedback.losses, feedback.answer_loss = NOTHING, None
        request = feedback.request
        # The way back would make every request a cycle that only the garbage collector can free.
        del feedback.request
        request.unanswered -= 1
        if request.unanswered == 0:
            self._outbox.effects.taught.append(request)


class Evaluated(Selection):
    """What a request carries that nobody made: feedback wants to know what each model says to an input."""

    __slots__ = ("_feedback", "_learning")

    def __init__(self, selector: Selector, state: State, pick: Pick, feedback: Feedback, learning: Learning) -> None:
        super().__init__(selector, state, [pick])
        self._feedback = feedback
        self._learning = learning

    def settle(self, request: Request) -> None:
        """Tells what the models said."""
        self._learning.evaluated(self._feedback, self.selector, request.queries[0], self.picks[0])
