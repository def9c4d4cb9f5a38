"""Traffic on a cluster at a steady rate, whatever comes back: by REST, natively, on a stream, and feedback.

Every question has a number of its own, and its right answer follows from that. What became of each is written down.
"""

import http.client
import itertools
import json
import os
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import grpc
from clipper.v1 import query_service_pb2

from tests.fixtures.clients import Answer, NativeClient, RestClient, doubles, from_prediction

APPLICATION = "chaos"
LEARNER = "learner"
DEFAULT = "none"
SLO_S = 0.5
# Of calls that set one.
DEADLINE_S = 0.3
# Who is not answered by then hangs.
PATIENCE_S = 10.0
_REST_CONNECTIONS = 40
_AGAIN_S = 0.05


def row(number: int) -> list[float]:
    """The input of a question."""
    return [number, 0.5]


def right_output(number: int) -> float:
    """What a model says to it."""
    return 3 * number + 0.5


def right(inputs: Any) -> list[str]:
    """The model; it tells which process it is, too."""
    return [json.dumps({"says": 3 * each[0] + each[1], "pid": os.getpid()}) for each in inputs]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one question; its latency counts from when it was to be asked."""

    lane: str
    number: int
    answer: Answer

    @property
    def is_wrong(self) -> bool:
        """Whether it was answered with what is not so."""
        if self.answer.error or self.lane == Feedback.name:
            return False
        if self.answer.is_default:
            return bool(self.answer.output != DEFAULT)
        return bool(self.answer.output["says"] != right_output(self.number))

    @property
    def replica(self) -> int:
        """The process id of the replica that has answered; 0 when none has."""
        has_one = self.answer.is_prediction and self.lane != Feedback.name
        return int(self.answer.output["pid"]) if has_one else 0


Record = Callable[[int, Answer], None]


class Lane(Protocol):
    """One way to ask.

    Attributes:
        name: tells it from the others.
        rate: questions a second.
    """

    name: str
    rate: float

    def __init__(self, address: str, record: Record) -> None:
        """Takes whom to ask, host:port, and who is told what became of it."""

    def ask(self, number: int, due_s: float) -> None:
        """Asks a question and does not wait."""

    def close(self) -> None:
        """Disconnects."""


class Rest:
    """Predictions as JSON over HTTP/1.1."""

    name = "REST"
    rate = 30.0

    def __init__(self, address: str, record: Record) -> None:
        self._record = record
        self._pool = ThreadPoolExecutor(_REST_CONNECTIONS, thread_name_prefix=self.name)
        self._idle: queue.SimpleQueue[RestClient] = queue.SimpleQueue()
        for _ in range(_REST_CONNECTIONS):
            self._idle.put(RestClient(address, APPLICATION))

    def ask(self, number: int, due_s: float) -> None:
        """See `Lane`."""
        self._pool.submit(self._answer, number, due_s)

    def close(self) -> None:
        """See `Lane`."""
        self._pool.shutdown()
        for _ in range(_REST_CONNECTIONS):
            self._idle.get().close()

    def _answer(self, number: int, due_s: float) -> None:
        client = self._idle.get()
        answer = client.ask(row(number), PATIENCE_S)
        self._idle.put(client)
        self._record(number, replace(answer, sent_s=due_s))


class Unary:
    """Native predictions without a deadline of their own."""

    name = "Predict"
    rate = 30.0
    timeout_s = PATIENCE_S

    def __init__(self, address: str, record: Record) -> None:
        self._client = NativeClient(address, APPLICATION)
        self._record = record

    def ask(self, number: int, due_s: float) -> None:
        """See `Lane`."""
        call = self._client.stub.Predict.future(doubles(APPLICATION, [row(number)]), timeout=self.timeout_s)
        call.add_done_callback(lambda done: self._record(number, _unary_answer(done, due_s)))

    def close(self) -> None:
        """See `Lane`."""
        self._client.close()


class Deadline(Unary):
    """Native predictions with a deadline of their own."""

    name = "Predict with a deadline"
    rate = 20.0
    timeout_s = DEADLINE_S


class Stream:
    """Native predictions on one PredictStream, which is opened anew when it ends."""

    name = "PredictStream"
    rate = 30.0

    def __init__(self, address: str, record: Record) -> None:
        self._client = NativeClient(address, APPLICATION)
        self._record = record
        self._lock = threading.Lock()  # guards the two that follow
        self._questions: queue.SimpleQueue[query_service_pb2.PredictStreamRequest | None] = queue.SimpleQueue()
        self._due_s: dict[int, float] = {}
        self._over = threading.Event()
        self._reader = threading.Thread(target=self._read, name=self.name)
        self._reader.start()

    def ask(self, number: int, due_s: float) -> None:
        """See `Lane`."""
        request = doubles(APPLICATION, [row(number)])
        with self._lock:
            self._due_s[number] = due_s
            self._questions.put(query_service_pb2.PredictStreamRequest(request_id=number, request=request))

    def close(self) -> None:
        """See `Lane`."""
        self._over.set()
        with self._lock:
            self._questions.put(None)
        self._reader.join()
        self._client.close()

    def _read(self) -> None:
        while not self._over.is_set():
            call = self._client.stub.PredictStream(iter(self._questions.get, None))
            try:
                for response in call:
                    self._take(response)
            except grpc.RpcError as ended:
                self._break_off(f"{ended.code().name} {ended.details()}")
            self._over.wait(_AGAIN_S)

    def _take(self, response: query_service_pb2.PredictStreamResponse) -> None:
        with self._lock:
            due_s = self._due_s.pop(response.request_id)
        now_s = time.monotonic()
        if response.HasField("error"):
            self._record(response.request_id, Answer(due_s, now_s, error=response.error.message))
        else:
            self._record(response.request_id, from_prediction(due_s, now_s, response.response.predictions[0]))

    def _break_off(self, error: str) -> None:
        with self._lock:
            lost, self._due_s = self._due_s, {}
            self._questions.put(None)
            self._questions = queue.SimpleQueue()
        for number, due_s in lost.items():
            self._record(number, Answer(due_s, time.monotonic(), error=error))


class Feedback:
    """Feedback as JSON on predictions of an application that learns; a prediction that failed has none."""

    name = "feedback"
    rate = 10.0

    def __init__(self, address: str, record: Record) -> None:
        self._address = address
        self._record = record
        self._pool = ThreadPoolExecutor(_REST_CONNECTIONS, thread_name_prefix=self.name)

    def ask(self, number: int, due_s: float) -> None:
        """See `Lane`."""
        self._pool.submit(self._tell, number, due_s)

    def close(self) -> None:
        """See `Lane`."""
        self._pool.shutdown()

    def _tell(self, number: int, due_s: float) -> None:
        with RestClient(self._address, LEARNER) as client:
            predicted = client.ask(row(number), PATIENCE_S)
        if predicted.is_prediction:
            feedback = {"query_id": predicted.query_id, "reward": 1.0}
            due_s, error = time.monotonic(), _told(self._address, feedback)
            self._record(number, Answer(due_s, time.monotonic(), error=error))
        else:
            self._record(number, replace(predicted, sent_s=due_s))


LANES: tuple[type[Lane], ...] = (Rest, Unary, Deadline, Stream, Feedback)


class Traffic:
    """All lanes together, for as long as the context lasts.

    Attributes:
        outcomes: what became of the questions, in the order in which they ended.
        ended_twice: questions of which more than one thing became.
    """

    def __init__(self, address: str) -> None:
        self.outcomes: list[Outcome] = []
        self.ended_twice: list[int] = []
        self._address = address
        self._numbers = itertools.count(1)
        self._open: dict[int, float] = {}
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._pace, args=(lane,), name=f"{lane.name} pace") for lane in LANES]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def between(self, start_s: float, end_s: float = float("inf")) -> list[Outcome]:
        """What became of what was to be asked from a time on and before another, on time.monotonic()'s clock."""
        return [outcome for outcome in self.outcomes.copy() if start_s <= outcome.answer.sent_s < end_s]

    def unanswered(self, end_s: float) -> int:
        """How many questions that were to be asked before a time have had no end yet."""
        return sum(due_s < end_s for due_s in self._open.copy().values())

    def _pace(self, make: type[Lane]) -> None:
        def record(number: int, answer: Answer) -> None:
            if self._open.pop(number, None) is None:
                self.ended_twice.append(number)
            else:
                self.outcomes.append(Outcome(make.name, number, answer))

        lane = make(self._address, record)
        due_s = time.monotonic()
        while not self._over.wait(max(0.0, due_s - time.monotonic())):
            number = next(self._numbers)
            self._open[number] = due_s
            lane.ask(number, due_s)
            due_s += 1 / make.rate
        lane.close()


def _unary_answer(call: Any, due_s: float) -> Answer:
    received_s = time.monotonic()
    if call.code() is not grpc.StatusCode.OK:
        return Answer(due_s, received_s, error=f"{call.code().name} {call.details()}")
    return from_prediction(due_s, received_s, call.result().predictions[0])


def _told(address: str, feedback: dict[str, Any]) -> str:
    """Why feedback was refused; empty when it was taken."""
    connection = http.client.HTTPConnection(address, timeout=PATIENCE_S)
    try:
        connection.request("POST", f"/{LEARNER}/update", json.dumps(feedback), {"content-type": "application/json"})
        response = connection.getresponse()
        text = response.read().decode()
        return "" if response.status == http.client.OK else f"{response.status} {text}"
    except (OSError, http.client.HTTPException) as error:
        return repr(error)
    finally:
        connection.close()
