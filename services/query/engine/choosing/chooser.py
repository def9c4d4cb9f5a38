"""Chooses the models for a request, once it is known what was learned in its context."""

import math
from collections.abc import Sequence
from random import Random

from services.common.selection_records import ContextKey
from services.query.engine.answers import Answers
from services.query.engine.choosing.contexts import Contexts
from services.query.engine.choosing.members import members_of
from services.query.engine.choosing.selected import Selected, policy_failure
from services.query.engine.deadlines import Deadlines
from services.query.engine.effects import Outbox
from services.query.engine.intake import Intake
from services.query.engine.policies import guard
from services.query.engine.policies.policy import Choice, State
from services.query.engine.policies.selector import Selector
from services.query.engine.recent import RecentPredictions
from services.query.engine.requests import DefaultReason, Pick, Query, Request, Selection
from services.query.engine.versions import Version

# The share of its time that a request may wait to learn what is known of its context.
_MOST_WAIT = 0.25

_NOBODY = Choice((), 1.0)


class Wait:
    """Requests that wait for the state of one context.

    Attributes:
        key: the context.
        deadline_s: when they are to wait no longer.
        requests: who waits, perhaps in vain: their clients may have gone.
        unanswered: how many of them have not been released.
    """

    __slots__ = ("deadline_s", "key", "requests", "unanswered")

    def __init__(self, key: ContextKey) -> None:
        self.key = key
        self.deadline_s = math.inf
        self.requests: list[Request] = []
        self.unanswered = 0

    def join(self, request: Request) -> None:
        """Has a request wait."""
        self.requests.append(request)
        self.unanswered += 1

    def end(self) -> list[Request]:
        """Releases those who have waited."""
        self.unanswered = 0
        return self.requests


class Chooser:
    """Takes the requests of applications that have a selection policy.

    Args:
        intake: takes the requests for which it is known whom to ask.
        answers: takes the answers of those for whom there is nobody.
        deadlines: takes who waits, for `waited`.
        outbox: takes what is to be read and what became of the requests.
        recent: remembers their predictions.
        random: the policies' chance.

    Attributes:
        contexts: what was learned.
    """

    def __init__(
        self,
        intake: Intake,
        answers: Answers,
        deadlines: Deadlines,
        outbox: Outbox,
        recent: RecentPredictions,
        random: Random,
    ) -> None:
        self.contexts = Contexts(outbox)
        self._intake = intake
        self._answers = answers
        self._outbox = outbox
        self._recent = recent
        self._random = random
        self._waits: dict[ContextKey, Wait] = {}
        self._deadlines = deadlines

    def submit(self, request: Request, selector: Selector, now_s: float) -> None:
        """Takes a request: chooses at once, or as soon as there is something to choose by."""
        key = selector.key(request.context)
        state = self.contexts.state(key, selector, now_s)
        if state is None:
            self._wait(request, key, now_s)
        else:
            self._choose(request, selector, state, now_s)

    def ask_all(self, request: Request, selection: Selection, now_s: float) -> None:
        """Takes a request for one input that is to be shown to all models that there are for it."""
        versions = list(request.route.versions.values())
        if versions:
            self._ask_members(request, selection, versions, now_s)
        else:
            request.selection = selection
            self._answers.default(request.queries[0], DefaultReason.NO_REPLICA)

    def state_read(self, key: ContextKey, state: State | None, now_s: float) -> None:
        """Takes what was read of a context; None when Redis did not answer."""
        self.contexts.read(key, state, now_s)
        self._release(key, now_s)

    def waited(self, wait: Wait, now_s: float) -> None:
        """Has those who have waited long enough choose by what is known."""
        self.contexts.miss(wait.key)
        self._release(wait.key, now_s)

    def _wait(self, request: Request, key: ContextKey, now_s: float) -> None:
        until_s = now_s + _MOST_WAIT * (request.deadline_s - now_s)
        wait = self._waits.get(key)
        if wait is None:
            wait = self._waits[key] = Wait(key)
        wait.join(request)
        if until_s < wait.deadline_s:
            wait.deadline_s = until_s
            self._deadlines.add(wait)

    def _release(self, key: ContextKey, now_s: float) -> None:
        wait = self._waits.pop(key, None)
        if wait is None:
            return
        for request in wait.end():
            selector = request.route.selector
            if request.unanswered and selector is not None:
                self._choose(request, selector, self.contexts.known(key, selector), now_s)

    def _choose(self, request: Request, selector: Selector, state: State, now_s: float) -> None:
        arms, away = request.route.askable()
        try:
            note = guard.note(selector.policy, state)
            picks = [self._pick(query, selector, state, arms) for query in request.queries if arms]
            versions = [request.route.versions[arm] for pick in picks for arm in pick.choice.arms]
        except Exception as error:
            self._give_up(request, selector, state, DefaultReason.MODEL_ERROR, policy_failure(error))
            return
        if not arms:
            self._give_up(request, selector, state, DefaultReason.NO_REPLICA)
            return
        selection = Selected(selector, state, picks, self._outbox, self._recent, note, away)
        if selector.combines or len(versions) > len(picks):
            self._ask_members(request, selection, versions, now_s)
        else:
            request.selection = selection
            self._intake.ask(request, versions, now_s)

    def _pick(self, query: Query, selector: Selector, state: State, arms: Sequence[str]) -> Pick:
        features = selector.features(query.input)
        return Pick(guard.select(selector.policy, state, arms, features, self._random), features)

    def _ask_members(self, request: Request, selection: Selection, versions: Sequence[Version], now_s: float) -> None:
        request.selection = selection
        self._intake.ask(members_of(request, selection, self._answers), versions, now_s)

    def _give_up(
        self, request: Request, selector: Selector, state: State, reason: DefaultReason, explanation: str = ""
    ) -> None:
        picks = [Pick(_NOBODY, ()) for _ in request.queries]
        request.selection = Selected(selector, state, picks, self._outbox, self._recent)
        for query in request.queries:
            self._answers.default(query, reason, explanation)
