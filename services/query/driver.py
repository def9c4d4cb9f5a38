"""Drives the engine: brings it events, carries out its effects, and wakes it on time.

All of it happens on the front's thread: calls arrive there, and links and catalogue post what they learn to it. One
thread needs no lock, and Python threads that hand the interpreter to each other for every answer cost more than the
answers (docs/decisions/0002-one-thread.md).
"""

import functools
import logging
import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from services.common.errors import ClipperError, InvalidInput
from services.common.lessons import FeedbackStatus, Lesson, Outcome
from services.common.quarantine import Quarantine
from services.common.records import Configuration, Kind
from services.common.selection_records import ContextKey, PredictionRecord, QueryKey, Recorded, State
from services.query.engine.admission import Admission, Message
from services.query.engine.effects import Effects
from services.query.engine.engine import Engine
from services.query.engine.feedback import FeedbackRequest
from services.query.engine.policies.registry import Policies
from services.query.engine.requests import Request
from services.query.engine.versions import Batch, Replica, Route, Version
from services.query.telemetry.recorder import Telemetry

_LOG = logging.getLogger(__name__)
_YOUNG_S = 0.05
# The kind of the quarantined whose application is there, and answers with its default output.
_POLICIES = "selection_policies"
# Between so many that are turned away others are attended to.
_TURNED_AWAY_AT_ONCE = 32


class Loop(Protocol):
    """The front's thread.

    Attributes:
        wake_at_s: when `on_wake` is to be called, on time.monotonic()'s clock.
        on_wake: called then.
        on_idle: called when nothing else waits to be done.
    """

    wake_at_s: float
    on_wake: Callable[[], None]
    on_idle: Callable[[], None]

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Has the thread call `callback`; any thread may ask."""

    def put_off(self, callback: Callable[[], None]) -> None:
        """Has `callback` called when what has arrived is taken."""


class Entrant(Message):
    """A message that waits to be let in, and knows what is to be done then."""

    __slots__ = ()

    def enter(self) -> None:
        """Decodes and submits it."""
        raise NotImplementedError

    def turn_away(self, now_s: float) -> None:
        """Answers it without having looked at it, as there was no time."""
        raise NotImplementedError

    def deliver(self, request: Request) -> None:
        """Takes the finished request that it has become."""
        raise NotImplementedError


class Cancellable(Protocol):
    """A call whose client may go.

    Attributes:
        on_cancel: called once when it has; to be told costs.
    """

    on_cancel: Callable[[], None] | None


class Link(Protocol):
    """The connection to a replica."""

    def send(self, batch: Batch) -> None:
        """Starts a batch on its way."""

    def release(self) -> None:
        """Ends the connection, in which nothing is in flight, and returns at once."""

    def close(self) -> None:
        """Breaks the connection and waits for its thread."""


class Journal(Protocol):
    """Redis, as far as selection policies need it; calls back on a thread of its own."""

    def read_state(self, key: ContextKey, on_read: Callable[[State | None], None]) -> None:
        """Reads a context's state; None in its place when Redis is away."""

    def record(self, predictions: Sequence[PredictionRecord]) -> None:
        """Keeps predictions for their feedback."""

    def join(self, query: QueryKey, on_joined: Callable[[Recorded | Exception | None], None]) -> None:
        """Looks for a recorded prediction; None in its place when there is none."""

    def learn(self, lesson: Lesson, on_learned: Callable[[Outcome | Exception], None]) -> None:
        """Learns a lesson."""


class Driver:
    """The engine on the front's thread. Methods marked "any thread" post themselves there.

    Args:
        engine: driven by this object alone from now on.
        admission: likewise.
        loop: the front's thread.
        telemetry: told of what was answered.
        open_link: connects a new replica, reporting to `replica_ready`, `replica_lost` and `batch_answered`.
        journal: asked for what was learned, and told of predictions and feedback.
        policies: the engine's selection policies, made before it asks for them.
        quarantine: told of what cannot be used.
    """

    def __init__(
        self,
        engine: Engine,
        admission: Admission[Entrant],
        loop: Loop,
        telemetry: Telemetry,
        open_link: Callable[["Driver", Replica], Link],
        journal: Journal,
        policies: Policies,
        quarantine: Quarantine,
    ) -> None:
        self._engine = engine
        self._admission = admission
        self._loop = loop
        self._telemetry = telemetry
        self._open_link = open_link
        self._journal = journal
        self._policies = policies
        self._quarantine = quarantine
        self._links: set[Link] = set()
        self._young: OrderedDict[Request, tuple[float, Cancellable]] = OrderedDict()
        self._posted: Configuration | None = None
        self._in_force: Callable[[], None] | None = None
        self._journal_events: deque[Callable[[float], None]] = deque()
        self._is_told_of_journal = False
        loop.on_wake = self._advance
        loop.on_idle = self._dispatch

    def route(self, application: str) -> Route | None:
        """What is known of an application."""
        return self._engine.routes.get(application)

    def why_unknown(self, application: str) -> str:
        """Why nothing is known of an application that may be registered; empty when it is not."""
        return self._quarantine.cases.get((Kind.APPLICATION, application), "")

    def version(self, key: str) -> Version | None:
        """What is known of a model version."""
        return self._engine.versions.get(key)

    def arrive(self, message: Entrant) -> None:
        """Takes a message, which enters or is turned away after this has returned."""
        self._admission.arrive(message)
        if self._admission.due_s < self._loop.wake_at_s:
            self._loop.wake_at_s = self._admission.due_s
        self._loop.put_off(self._let_in)

    def submit(self, request: Request) -> None:
        """Takes a request; its caller is delivered the answer after this has returned."""
        self._engine.submit(request, time.monotonic())

    def cancel_with(self, call: Cancellable, request: Request) -> None:
        """Cancels a request when the client of its call goes.

        Most requests are answered sooner than a client can give up on them, and to be told of a client's end costs a
        fifth of what a request costs, so a call is watched only once it has taken a while.
        """
        if request.unanswered:
            self._young[request] = request.arrival_s + _YOUNG_S, call

    def cancel(self, request: Request) -> None:
        """Forgets a request whose client has gone."""
        self._engine.cancel(request)

    def feedback(self, request: FeedbackRequest) -> None:
        """Takes feedback; its caller is delivered what became of it after this has returned."""
        self._engine.feedback(request, time.monotonic())

    def batch_answered(
        self, replica: Replica, batch_id: int, outputs: Sequence[str], failures: Mapping[int, str], model_s: float
    ) -> None:
        """Takes a replica's answer; the arguments are those of the engine.

        Raises:
            InvalidInput: the replica has no such batch; it is not to be trusted any more.
        """
        batch = replica.in_flight.get(batch_id)
        if batch is None:
            raise InvalidInput(f"The container answered a batch {batch_id} that it was not sent")
        now_s = time.monotonic()
        busy_s = self._engine.batch_answered(replica, batch_id, outputs, failures, model_s, now_s)
        self._telemetry.batch_answered(batch, busy_s, now_s)
        self._carry_out(now_s)

    def post(self, event: Callable[[], None]) -> None:
        """Any thread: has an event brought on the front's thread."""
        self._loop.call_soon(event)

    def replica_ready(self, replica: Replica) -> None:
        """The stream to a replica is open."""
        now_s = time.monotonic()
        self._engine.replica_ready(replica, now_s)
        self._carry_out(now_s)

    def replica_lost(self, replica: Replica) -> None:
        """The stream to a replica broke or could not be opened."""
        now_s = time.monotonic()
        self._engine.replica_lost(replica, now_s)
        self._carry_out(now_s)

    def post_configuration(self, configuration: Configuration, in_force: Callable[[], None]) -> None:
        """Any thread: takes over what is registered, unless something newer is posted before that has begun.

        `in_force` is called when this or something newer is taken over and new replicas have been dialled.
        """
        # A policy may be anybody's code, which is not to be imported on the front's thread.
        missing = self._policies.prepare(configuration.applications.values())
        without_policy = {(_POLICIES, name): why for name, why in missing.items()}
        self._quarantine.hold({**configuration.unreadable, **without_policy})
        self._posted = configuration
        self.post(lambda: self._configure(configuration, in_force))

    def close(self) -> None:
        """Breaks all links and waits for their threads; to be called when the loop has ended. Safe to repeat."""
        for link in self._links:
            link.close()

    def _configure(self, configuration: Configuration, in_force: Callable[[], None]) -> None:
        if configuration is not self._posted:
            return
        now_s = time.monotonic()
        self._engine.configure(configuration, now_s)
        self._in_force = in_force
        self._carry_out(now_s)

    def _let_in(self) -> None:
        now_s = time.monotonic()
        if self._admission.due_s <= now_s:
            self._turn_away(now_s)
        message = self._admission.let_in(now_s)
        if message is not None:
            message.enter()

    def _turn_away(self, now_s: float) -> None:
        for message in self._admission.give_up(now_s, _TURNED_AWAY_AT_ONCE):
            message.turn_away(now_s)

    def _advance(self) -> None:
        now_s = time.monotonic()
        if self._admission.due_s <= now_s:
            self._turn_away(now_s)
        while self._grows_up_s <= now_s:
            request, (_, call) = self._young.popitem(last=False)
            call.on_cancel = functools.partial(self.cancel, request)
        self._engine.advance(now_s)
        self._carry_out(now_s)

    def _dispatch(self) -> None:
        if self._engine.has_undispatched:
            now_s = time.monotonic()
            self._engine.dispatch(now_s)
            self._carry_out(now_s)

    def _use_journal(self, effects: Effects) -> None:
        engine, journal = self._engine, self._journal
        if effects.predictions:
            journal.record(effects.predictions)
            self._telemetry.chosen(effects.predictions)
        for key in effects.reads:
            journal.read_state(key, functools.partial(self._journal_answers, engine.state_read, key))
        for feedback in effects.joins:
            journal.join(feedback.query, functools.partial(self._journal_answers, engine.joined, feedback))
        for feedback in effects.lessons:
            if feedback.lesson is not None:
                journal.learn(feedback.lesson, functools.partial(self._journal_answers, engine.learned, feedback))

    def _journal_answers(self, event: Callable[..., None], asked: object, answer: object) -> None:
        """Any thread: has an answer brought to the engine along with those that come at the same time."""
        self._journal_events.append(functools.partial(event, asked, answer))
        if not self._is_told_of_journal:
            self._is_told_of_journal = True
            self.post(self._take_journal_events)

    def _take_journal_events(self) -> None:
        # First, so that whoever comes from now on posts again.
        self._is_told_of_journal = False
        now_s = time.monotonic()
        while self._journal_events:
            self._journal_events.popleft()(now_s)
        self._carry_out(now_s)

    def _teach(self, request: FeedbackRequest) -> None:
        application = request.route.application.name
        for feedback in request.feedback:
            self._telemetry.learned(application, feedback)
            if feedback.status is FeedbackStatus.FAILED and not isinstance(feedback.error, ClipperError):
                extra = {"application": application}
                _LOG.warning("the selection policy failed", extra=extra, exc_info=feedback.error)
        try:
            request.caller.deliver(request)  # type: ignore[attr-defined]
        except Exception:
            _LOG.exception("an answer could not be delivered")

    def _carry_out(self, now_s: float) -> None:
        effects = self._engine.take_effects()
        self._loop.wake_at_s = min(self._engine.wake_at_s, self._grows_up_s, self._admission.due_s)
        for replica in effects.dialled:
            link = replica.link = self._open_link(self, replica)
            self._links.add(link)
        for batch in effects.sent:
            batch.replica.link.send(batch)  # type: ignore[attr-defined]
        if effects.finished:
            self._finish(effects.finished, now_s)
        self._use_journal(effects)
        for told in effects.taught:
            self._teach(told)
        for replica in effects.frozen:
            _LOG.warning(
                "replica is frozen: it keeps a batch and answers nothing", extra={"replica": replica.record.key}
            )
        for replica in effects.released:
            self._links.discard(replica.link)
            replica.link.release()  # type: ignore[attr-defined]
        if self._in_force is not None and not self._engine.connecting:
            in_force, self._in_force = self._in_force, None
            in_force()

    def _finish(self, requests: Sequence[Request], now_s: float) -> None:
        for request in requests:
            self._deliver(request)
            self._telemetry.request_finished(request, now_s)
        if not requests[-1].queries[0].reason:
            self._admission.answered(time.monotonic() - requests[-1].submitted_s)

    def _deliver(self, request: Request) -> None:
        self._young.pop(request, None)
        # One that cannot be delivered is not to keep the others from their answers.
        try:
            request.caller.deliver(request)  # type: ignore[attr-defined]
        except Exception:
            _LOG.exception("an answer could not be delivered")

    @property
    def _grows_up_s(self) -> float:
        """When the next call is to be watched."""
        return next(iter(self._young.values()))[0] if self._young else math.inf
