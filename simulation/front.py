"""The front's thread in virtual time: what it does takes it time, so that it can be overloaded.

It works in turns as `services.query.front.loop` does: it takes what has arrived, lets in what waits, for a tenth of
that time at least, and then has the engine dispatch. What replicas answer, and what is to be given up, it
attends to between any two of these.
"""

import itertools
import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from services.query.engine.admission import Admission, Message
from services.query.engine.requests import NOBODY, Request
from services.query.engine.versions import Replica, Route
from simulation.simulator import Simulator

_LONGEST_ROW_S = 0.02
_LONGEST_CATCH_UP_S = 0.002
_GIVEN_UP_AT_ONCE = 32
# By this much what the thread has in hand may make an answer late.
_MOST_LATE_S = 0.005


@dataclass(frozen=True)
class Costs:
    """What the thread spends its time on, in seconds.

    Attributes:
        take_s: taking a message.
        let_in_s, let_in_input_s: decoding one, and each input in it, up to its place in a batch.
        answer_s, answer_input_s: answering one, and each input in it.
        give_up_s: answering one that is given up.
    """

    take_s: float
    let_in_s: float
    let_in_input_s: float
    answer_s: float
    answer_input_s: float
    give_up_s: float

    def capacity(self, inputs: int) -> float:
        """How many inputs a second the thread can serve in messages of so many each."""
        fixed_s = self.take_s + self.let_in_s + self.answer_s
        return inputs / (fixed_s + inputs * (self.let_in_input_s + self.answer_input_s))


class Call(Message):
    """A client's message, and what it does about the answer.

    Attributes:
        data: the inputs themselves.
        sent_s: when it truly came; `arrival_s` is what the thread knows of that.
        on_answer: called when it is answered.
    """

    __slots__ = ("data", "on_answer", "sent_s")

    def __init__(self, route: Route, data: list[bytes], now_s: float, on_answer: Callable[[], None]) -> None:
        super().__init__(route.application, now_s, now_s + route.slo_s, len(data), sum(map(len, data)))
        self.data = data
        self.sent_s = now_s
        self.on_answer = on_answer


class FrontSimulator(Simulator):
    """A simulator whose clients reach the engine through the thread.

    Args:
        seed: as for Simulator.
        costs: what the thread spends its time on.
        admission: decides whom it lets in.
    """

    def __init__(self, seed: int, costs: Costs, admission: Admission[Call]) -> None:
        super().__init__(seed, most_late_s=_MOST_LATE_S)
        self.on_finished = self._answered
        self._costs = costs
        self._admission = admission
        # Among them the time of a mark, where the thread has put one.
        self._arrived: deque[Call | float] = deque()
        self._callbacks: deque[tuple[float, Callable[[], None]]] = deque()
        self._let_in: dict[Request, tuple[Call, float]] = {}
        self._numbers = itertools.count()
        self._caught_up_s = 0.0
        self._is_busy = False
        self._takes = True
        self._phase_ends_s = 0.0

    def call(self, application: str, inputs: int, on_answer: Callable[[], None] = lambda: None) -> None:
        """A client sends a message of so many inputs."""
        data = [b"good %d" % next(self._numbers) for _ in range(inputs)]
        self._arrived.append(Call(self.engine.routes[application], data, self.now_s, on_answer))
        self._wake()

    def answer(
        self,
        replica: Replica,
        batch_id: int,
        outputs: Sequence[str],
        failures: Mapping[int, str],
        model_s: float,
    ) -> None:
        """A replica answers a batch: work for the thread."""
        costs, batch = self._costs, replica.in_flight.get(batch_id)
        requests = {query.request for task in batch.tasks for query in task.waiters} if batch else ()
        took_s = len(requests) * costs.answer_s + len(outputs) * costs.answer_input_s
        event = partial(super().answer, replica, batch_id, outputs, failures, model_s)
        self._callbacks.append((took_s, event))
        self._wake()

    def _wake(self) -> None:
        if not self._is_busy:
            self._is_busy = True
            # An idle thread has seen that nothing waited until now.
            self._caught_up_s = self.now_s
            self._begin_phase(takes=True)
            self._work()

    def _work(self) -> None:
        """Does one thing after the other until there is nothing to do."""
        if self._callbacks:
            self._spend(*self._callbacks.popleft())
        elif self._admission.due_s <= self.now_s:
            self._give_up()
        elif self._takes:
            self._take()
        else:
            self._let_one_in()

    def _spend(self, seconds: float, action: Callable[[], None]) -> None:
        def act() -> None:
            action()
            self._work()

        self.after(seconds, act)

    def _take(self) -> None:
        if self._arrived and self.now_s < self._phase_ends_s:
            arrived = self._arrived.popleft()
            taken = partial(self._taken, arrived) if isinstance(arrived, Call) else partial(self._reached, arrived)
            self._spend(self._costs.take_s, taken)
            return
        if self._arrived:
            self._arrived.append(self.now_s)
        else:
            self._caught_up_s = self.now_s
        self._begin_phase(takes=False)
        self._work()

    def _reached(self, marked_s: float) -> None:
        self._caught_up_s = max(self._caught_up_s, marked_s)

    def _taken(self, call: Call) -> None:
        call.arrival_s = self._caught_up_s
        call.deadline_s -= call.sent_s - call.arrival_s
        self._admission.arrive(call)

    def _let_one_in(self) -> None:
        call = self._admission.let_in(self.now_s) if self.now_s < self._phase_ends_s else None
        if call is not None:
            took_s = self._costs.let_in_s + call.inputs * self._costs.let_in_input_s
            self._spend(took_s, partial(self._submit, call, self.now_s))
            return
        self._begin_phase(takes=True)
        if self._arrived or self._admission.due_s < math.inf:
            self._work()
        else:
            self._is_busy = False

    def _submit(self, call: Call, let_in_s: float) -> None:
        route = self.engine.routes[call.application.name]
        request = Request(
            route, route.version, call.data, self.next_query_id, call.arrival_s, call.deadline_s, caller=NOBODY
        )
        self._let_in[request] = call, let_in_s
        self.submit(request, call.data)

    def _answered(self, request: Request) -> None:
        call, let_in_s = self._let_in.pop(request)
        if not request.queries[0].reason:
            self._admission.answered(self.now_s - let_in_s)
        call.on_answer()

    def _give_up(self) -> None:
        given_up = self._admission.give_up(self.now_s, _GIVEN_UP_AT_ONCE)

        def refuse() -> None:
            for call in given_up:
                self.referee.turned_away(call.application, call.inputs, call.sent_s, self.now_s)
                call.on_answer()

        self._spend(len(given_up) * self._costs.give_up_s, refuse)

    def _begin_phase(self, *, takes: bool) -> None:
        self._takes = takes
        self._phase_ends_s = self.now_s + (_LONGEST_ROW_S if takes else _LONGEST_CATCH_UP_S)
