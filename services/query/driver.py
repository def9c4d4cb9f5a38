"""Drives the engine: brings it events, carries out its effects, and wakes it on time.

All of it happens on the front's thread: calls arrive there, and links and catalogue post what they learn to it. One
thread needs no lock, and Python threads that hand the interpreter to each other for every answer cost more than the
answers (docs/decisions/0002-one-thread.md).
"""

import functools
import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from services.common.errors import InvalidInput
from services.common.records import Configuration
from services.query.engine.engine import Engine
from services.query.engine.requests import Request
from services.query.engine.versions import Batch, Replica, Route, Version
from services.query.telemetry.recorder import Telemetry

_YOUNG_S = 0.01


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


class Caller(Protocol):
    """Who waits for a request."""

    def deliver(self, request: Request) -> None:
        """Takes the finished request."""


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


class Driver:
    """The engine on the front's thread. Methods marked "any thread" post themselves there.

    Args:
        engine: driven by this object alone from now on.
        loop: the front's thread.
        telemetry: told of what was answered.
        open_link: connects a new replica, reporting to `replica_ready`, `replica_lost` and `batch_answered`.
    """

    def __init__(
        self, engine: Engine, loop: Loop, telemetry: Telemetry, open_link: Callable[["Driver", Replica], Link]
    ) -> None:
        self._engine = engine
        self._loop = loop
        self._telemetry = telemetry
        self._open_link = open_link
        self._links: set[Link] = set()
        self._young: deque[tuple[float, Cancellable, Request]] = deque()
        self._in_force: Callable[[], None] | None = None
        loop.on_wake = self._advance
        loop.on_idle = self._dispatch

    def route(self, application: str) -> Route | None:
        """What is known of an application."""
        return self._engine.routes.get(application)

    def version(self, key: str) -> Version | None:
        """What is known of a model version."""
        return self._engine.versions.get(key)

    def submit(self, request: Request) -> None:
        """Takes a request; its caller, a `Caller`, is delivered the answer, possibly before this returns."""
        self._engine.submit(request, request.arrival_s)
        if not request.unanswered:
            self._carry_out(time.monotonic())

    def cancel_with(self, call: Cancellable, request: Request) -> None:
        """Cancels a request when the client of its call goes.

        Most requests are answered sooner than a client can give up on them, and to be told of a client's end costs a
        fifth of what a request costs, so a call is watched only once it has taken a while.
        """
        if request.unanswered:
            self._young.append((request.arrival_s + _YOUNG_S, call, request))

    def cancel(self, request: Request) -> None:
        """Forgets a request whose client has gone."""
        self._engine.cancel(request)

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
        """Any thread: takes over what is registered; `in_force` is called when new replicas have been dialled, too."""
        self.post(lambda: self._configure(configuration, in_force))

    def close(self) -> None:
        """Breaks all links and waits for their threads; to be called when the loop has ended. Safe to repeat."""
        for link in self._links:
            link.close()

    def _configure(self, configuration: Configuration, in_force: Callable[[], None]) -> None:
        now_s = time.monotonic()
        self._engine.configure(configuration, now_s)
        self._in_force = in_force
        self._carry_out(now_s)

    def _advance(self) -> None:
        now_s = time.monotonic()
        while self._young and self._young[0][0] <= now_s:
            _, call, request = self._young.popleft()
            if request.unanswered:
                call.on_cancel = functools.partial(self.cancel, request)
        self._engine.advance(now_s)
        self._carry_out(now_s)

    def _dispatch(self) -> None:
        if self._engine.has_undispatched:
            now_s = time.monotonic()
            self._engine.dispatch(now_s)
            self._carry_out(now_s)

    def _carry_out(self, now_s: float) -> None:
        effects = self._engine.take_effects()
        self._loop.wake_at_s = min(self._engine.wake_at_s, self._young[0][0] if self._young else math.inf)
        for replica in effects.dialled:
            link = replica.link = self._open_link(self, replica)
            self._links.add(link)
        for batch in effects.sent:
            batch.replica.link.send(batch)  # type: ignore[attr-defined]
        for request in effects.finished:
            request.caller.deliver(request)  # type: ignore[attr-defined]
            self._telemetry.request_finished(request, now_s)
        for replica in effects.released:
            self._links.discard(replica.link)
            replica.link.release()  # type: ignore[attr-defined]
        if self._in_force is not None and not self._engine.connecting:
            in_force, self._in_force = self._in_force, None
            in_force()
