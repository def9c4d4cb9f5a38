"""Feedback on its way: inputs are shown to all models, everything is learned, and the call hears of it all at once."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType

from services.query import refusal
from services.query.driver import Driver
from services.query.engine.requests import Request
from services.query.engine.selection.losses import loss
from services.query.engine.versions import Route
from services.query.feedback_item import FeedbackItem
from services.query.journal.feedback import Feedback, FeedbackResult, FeedbackStatus

# Nobody waits for these answers as for a prediction, so the models have several latency objectives for them.
_OBJECTIVES = 4.0
_SHORTEST_S = 1.0
_NONE: Mapping[str, str] = MappingProxyType({})

OnLearned = Callable[[Sequence[FeedbackResult]], None]


def learn(driver: Driver, route: Route, items: Sequence[FeedbackItem], on_learned: OnLearned) -> None:
    """Learns from feedback that makes sense for its application.

    Args:
        driver: asks the models and knows the journal.
        route: the application.
        items: the feedback.
        on_learned: called on the front's thread, possibly before this returns, with what became of each item.
    """
    if not items:
        on_learned([])
    results: dict[int, FeedbackResult] = {}

    def put(place: int, result: FeedbackResult) -> None:
        results[place] = result
        if len(results) == len(items):
            on_learned([results[place] for place in range(len(items))])

    for place, item in enumerate(items):
        _Lesson(driver, route, item, partial(put, place)).begin()


class _Lesson:
    """One item of feedback."""

    def __init__(
        self, driver: Driver, route: Route, item: FeedbackItem, on_learned: Callable[[FeedbackResult], None]
    ) -> None:
        self._driver = driver
        self._route = route
        self._item = item
        self._on_learned = on_learned

    def begin(self) -> None:
        """Learns from it; shows an input to the models first."""
        if self._item.input is None:
            self._learn()
            return
        now_s = time.monotonic()
        deadline_s = now_s + max(_SHORTEST_S, _OBJECTIVES * self._route.slo_s)
        inputs = [self._item.input]
        self._driver.evaluate(Request(self._route, None, inputs, 0, now_s, deadline_s, self, self._item.context))

    def deliver(self, request: Request) -> None:
        """Takes what the models say to the input."""
        pick = request.selection.picks[0] if request.selection is not None else None
        if pick is not None and pick.outputs:
            self._learn(pick.outputs, pick.features)
        else:
            error = refusal.error(request.queries[0], self._route.slo_s)
            self._on_learned(FeedbackResult(FeedbackStatus.FAILED, error=error))

    def _learn(self, outputs: Mapping[str, str] = _NONE, features: Sequence[float] = ()) -> None:
        application, selector, item = self._route.application, self._route.selector, self._item
        if selector is None or not selector.arms:
            self._compare(outputs)
            return
        feedback = Feedback(
            application,
            selector.policy,
            selector.arms,
            item.query_id,
            outputs,
            features,
            item.context,
            item.label,
            item.reward,
            item.feedback_id,
        )
        self._driver.learn(feedback, self._on_learned)

    def _compare(self, outputs: Mapping[str, str]) -> None:
        """Counts how good the models are, where nobody learns from it."""
        application, label = self._route.application, self._item.label
        losses = {}
        if label is not None:
            losses = {arm: loss(application.loss, label, each, application.loss_scale) for arm, each in outputs.items()}
        result = FeedbackResult(FeedbackStatus.LEARNED, losses=losses)
        self._driver.learned(application.name, result)
        self._on_learned(result)
