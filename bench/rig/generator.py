"""The load generator, `python -m bench.rig.generator`: calls at a rate, or so many outstanding.

It reads jobs from its standard input, one JSON object a line, and answers each with a `bench.rig.jobs.Outcome` as JSON.
Messages are packed beforehand, and answers are looked at when the run is over, so that while it lasts the generator
takes as little of the machine as it can: one thread sends on time, one notes when what came.
"""

import json
import random
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import asdict
from functools import partial
from pathlib import Path

import grpc
from clipper.v1 import query_service_pb2

from bench.rig import questions
from bench.rig.jobs import LATE_S, Job, Outcome
from bench.rig.payloads import PREDICT, PREDICT_STREAM, unframed
from bench.rig.statistics import quantile
from services.query.replicas.stream_client import StreamChannel

_REQUEST_ID = b"\x08"
_REQUEST = b"\x12"
_RESPONSE = b"\x12"
_SEED = 0
_CONNECT_TIMEOUT_S = 5.0
_KEEPALIVE_S = 60.0
# What is not answered by then never will be.
_PATIENCE_S = 10.0
_PAUSE_S = 0.01
_LARGEST_ANSWER_BYTES = 64 * 1024 * 1024


class Asking(ABC):
    """Calls that are made and answered; numbered from 0, and taking their message by turn.

    Attributes:
        due_s: when each call was to be made; where that depends on answers, when it was.
        lags_s: how much later it was made.
        answers: when what came, and to which call, in that order.
    """

    def __init__(self, job: Job) -> None:
        self.due_s: list[float] = []
        self.lags_s: list[float] = []
        self.answers: list[tuple[float, int, bytes]] = []
        self._messages = list(unframed(Path(job.questions).read_bytes()))
        self._most_calls = job.most_calls or sys.maxsize
        self._refill_until_s = 0.0
        # An answer may be there at once, on the thread that asked, and lead to the next call.
        self._sending = threading.RLock()

    def send_at(self, calls_per_s: float, seconds: float) -> None:
        """Sends at random times, so many a second on average, whatever comes back."""
        gaps_s = random.Random(_SEED)
        due_s = time.perf_counter()
        for _ in range(int(calls_per_s * seconds)):
            due_s += gaps_s.expovariate(calls_per_s)
            _sleep_until(due_s)
            self._send(due_s)

    def keep_outstanding(self, calls: int, seconds: float, spread_s: float) -> None:
        """Sends so many, spread over `spread_s`, and another one for each that is answered."""
        began_s = time.perf_counter()
        self._refill_until_s = began_s + seconds
        for number in range(calls):
            _sleep_until(began_s + number / calls * spread_s)
            self._send(time.perf_counter())
        _sleep_until(self._refill_until_s)

    @abstractmethod
    def close(self) -> None:
        """Waits for the answers that are due, and ends."""

    @abstractmethod
    def _start(self, number: int, message: bytes) -> None:
        """Makes a call."""

    def _stop(self) -> None:
        """No call is made any more, and all that are counted have been made."""
        with self._sending:
            self._most_calls = len(self.due_s)

    def _send(self, due_s: float) -> None:
        with self._sending:
            number = len(self.due_s)
            if number < self._most_calls:
                self.due_s.append(due_s)
                self.lags_s.append(time.perf_counter() - due_s)
                self._start(number, self._messages[number % len(self._messages)])

    def _received(self, number: int, response: bytes) -> None:
        now_s = time.perf_counter()
        self.answers.append((now_s, number, response))
        if now_s < self._refill_until_s:
            self._send(now_s)


class Stream(Asking):
    """One PredictStream call."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self._channel = StreamChannel(job.address, max_message_bytes=_LARGEST_ANSWER_BYTES, keepalive_s=_KEEPALIVE_S)
        if not self._channel.wait_ready(_CONNECT_TIMEOUT_S):
            raise ConnectionError(f"{job.address} cannot be reached")
        self._stream = self._channel.open(PREDICT_STREAM, self._read)
        self._reader = threading.Thread(target=self._stream.run, name="reader")
        self._reader.start()

    def close(self) -> None:
        """Waits for the answers that are due, and ends the call."""
        self._stop()
        self._stream.half_close()
        self._reader.join(_PATIENCE_S)
        self._channel.close()
        self._reader.join()

    def _start(self, number: int, message: bytes) -> None:
        self._stream.send(_REQUEST_ID + _varint(number) + _REQUEST + _varint(len(message)) + message)

    def _read(self, message: bytes) -> None:
        # The number comes first, and is left out when it is 0.
        number, rest = _number_first(message) if message[:1] == _REQUEST_ID else (0, message)
        self._received(number, rest)


class Calls(Asking):
    """A Predict call for each."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        options = (("grpc.max_receive_message_length", _LARGEST_ANSWER_BYTES), ("grpc.enable_http_proxy", 0))
        self._channel = grpc.insecure_channel(job.address, options)
        grpc.channel_ready_future(self._channel).result(_CONNECT_TIMEOUT_S)
        self._predict: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(PREDICT)
        self._futures: set[grpc.Future[bytes]] = set()

    def close(self) -> None:
        """Waits for the answers that are due."""
        self._stop()
        due_s = time.perf_counter() + _PATIENCE_S
        while self._futures and time.perf_counter() < due_s:
            time.sleep(_PAUSE_S)
        self._channel.close()

    def _start(self, number: int, message: bytes) -> None:
        future = self._predict.future(message)
        self._futures.add(future)
        future.add_done_callback(partial(self._answered, number))

    def _answered(self, number: int, future: "grpc.Future[bytes]") -> None:
        self._futures.discard(future)
        response = future.result()
        self._received(number, _RESPONSE + _varint(len(response)) + response)


def run(job: Job) -> Outcome:
    """Does a job."""
    cpu_before_s = time.process_time()
    asking = Calls(job) if job.unary else Stream(job)
    if job.calls_per_s:
        asking.send_at(job.calls_per_s, job.seconds)
    else:
        asking.keep_outstanding(job.outstanding, job.seconds, job.spread_s)
    asking.close()
    cpu_s = time.process_time() - cpu_before_s
    return _judge(job, asking, cpu_s)


def _judge(job: Job, asking: Asking, cpu_s: float) -> Outcome:
    expected = questions.read_answers(Path(job.questions))
    latencies_s, reasons = [], Counter[str]()
    answered = good = wrong = late_calls = 0
    for received_s, number, message in asking.answers:
        response = query_service_pb2.PredictStreamResponse.FromString(message)
        latency_s = received_s - asking.due_s[number]
        latencies_s.append(latency_s)
        is_late = latency_s > job.slo_s + LATE_S
        late_calls += is_late
        predictions = response.response.predictions
        answers = expected[number % len(expected)]
        answered += len(predictions)
        for prediction, answer in zip(predictions, answers, strict=True):
            if prediction.is_default:
                reasons[query_service_pb2.DefaultReason.Name(prediction.default_reason)] += 1
            else:
                wrong += prediction.output != answer
                good += not is_late
    latencies_s.sort()
    return Outcome(
        asked=len(asking.due_s) * job.inputs_a_call,
        answered=answered,
        good=good,
        wrong=wrong,
        defaults=dict(reasons),
        calls=len(latencies_s),
        late_calls=late_calls,
        seconds=asking.answers[-1][0] - asking.due_s[0],
        p50_s=quantile(latencies_s, 0.5),
        p99_s=quantile(latencies_s, 0.99),
        longest_s=latencies_s[-1],
        lag_p99_s=quantile(sorted(asking.lags_s), 0.99),
        cpu_s=cpu_s,
    )


def _sleep_until(time_s: float) -> None:
    wait_s = time_s - time.perf_counter()
    if wait_s > 0:
        time.sleep(wait_s)


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _number_first(message: bytes) -> tuple[int, bytes]:
    """The number in the first field of a message, and the rest of it."""
    number = shift = 0
    for place in range(1, len(message)):
        number |= (message[place] & 0x7F) << shift
        shift += 7
        if message[place] <= 0x7F:
            return number, message[place + 1 :]
    raise ValueError("the message ends within its number")


def main() -> None:
    """Does the jobs that are asked for until there are no more."""
    for line in sys.stdin:
        print(json.dumps(asdict(run(Job(**json.loads(line))))), flush=True)


if __name__ == "__main__":
    main()
