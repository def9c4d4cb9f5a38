"""The load generator, `python -m bench.slo.generator`: one PredictStream, at a rate or with calls outstanding.

It reads jobs from its standard input, one JSON object a line, and answers each with a `bench.slo.load.Outcome` as JSON.
Messages are packed beforehand, and answers are looked at when the run is over, so that while it lasts the generator
takes as little of the machine as it can: one thread sends on time, one notes when what came.
"""

import json
import random
import sys
import threading
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from clipper.v1 import query_service_pb2

from bench.load import quantile
from bench.payloads import PREDICT_STREAM
from bench.python_load import unframed
from bench.slo import questions
from bench.slo.load import LATE_S, Job, Outcome
from services.query.stream_client import StreamChannel

_REQUEST_ID = b"\x08"
_REQUEST = b"\x12"
_SEED = 0
_CONNECT_TIMEOUT_S = 5.0
_KEEPALIVE_S = 60.0
# What is not answered by then never will be.
_PATIENCE_S = 10.0
_LARGEST_ANSWER_BYTES = 64 * 1024 * 1024


class Stream:
    """One PredictStream call; requests are numbered from 0, and take their message by turn.

    Attributes:
        sent_s: when each request was sent.
        answers: when what came, in that order.
    """

    def __init__(self, job: Job) -> None:
        self.sent_s: list[float] = []
        self.answers: list[tuple[float, bytes]] = []
        messages = unframed(Path(job.questions).read_bytes())
        self._bodies = [_REQUEST + _varint(len(message)) + message for message in messages]
        self._most_calls = job.most_calls or sys.maxsize
        self._refill_until_s = 0.0
        self._sending = threading.Lock()
        self._channel = StreamChannel(job.address, max_message_bytes=_LARGEST_ANSWER_BYTES, keepalive_s=_KEEPALIVE_S)
        if not self._channel.wait_ready(_CONNECT_TIMEOUT_S):
            raise ConnectionError(f"{job.address} cannot be reached")
        self._stream = self._channel.open(PREDICT_STREAM, self._received)
        self._reader = threading.Thread(target=self._stream.run, name="reader")
        self._reader.start()

    def send_at(self, calls_per_s: float, seconds: float) -> None:
        """Sends at random times, so many a second on average, whatever comes back."""
        gaps_s = random.Random(_SEED)
        due_s = time.perf_counter()
        for _ in range(int(calls_per_s * seconds)):
            due_s += gaps_s.expovariate(calls_per_s)
            _sleep_until(due_s)
            self._send()

    def keep_outstanding(self, calls: int, seconds: float, spread_s: float) -> None:
        """Sends so many, spread over `spread_s`, and another one for each that is answered."""
        began_s = time.perf_counter()
        self._refill_until_s = began_s + seconds
        for number in range(calls):
            _sleep_until(began_s + number / calls * spread_s)
            self._send()
        _sleep_until(self._refill_until_s)

    def close(self) -> None:
        """Waits for the answers that are due, and ends the call."""
        self._stream.half_close()
        self._reader.join(_PATIENCE_S)
        self._channel.close()
        self._reader.join()

    def _send(self) -> None:
        with self._sending:
            number = len(self.sent_s)
            if number < self._most_calls:
                body = self._bodies[number % len(self._bodies)]
                self.sent_s.append(time.perf_counter())
                self._stream.send(_REQUEST_ID + _varint(number) + body)

    def _received(self, message: bytes) -> None:
        now_s = time.perf_counter()
        self.answers.append((now_s, message))
        if now_s < self._refill_until_s:
            self._send()


def run(job: Job) -> Outcome:
    """Does a job."""
    cpu_before_s = time.process_time()
    stream = Stream(job)
    if job.calls_per_s:
        stream.send_at(job.calls_per_s, job.seconds)
    else:
        stream.keep_outstanding(job.outstanding, job.seconds, job.spread_s)
    stream.close()
    cpu_s = time.process_time() - cpu_before_s
    return _judge(job, stream, cpu_s)


def _judge(job: Job, stream: Stream, cpu_s: float) -> Outcome:
    expected = questions.read_answers(Path(job.questions))
    latencies_s, reasons = [], Counter[str]()
    answered = good = wrong = late_calls = 0
    for received_s, message in stream.answers:
        response = query_service_pb2.PredictStreamResponse.FromString(message)
        latency_s = received_s - stream.sent_s[response.request_id]
        latencies_s.append(latency_s)
        is_late = latency_s > job.slo_s + LATE_S
        late_calls += is_late
        predictions = response.response.predictions
        answers = expected[response.request_id % len(expected)]
        answered += len(predictions)
        for prediction, answer in zip(predictions, answers, strict=True):
            if prediction.is_default:
                reasons[query_service_pb2.DefaultReason.Name(prediction.default_reason)] += 1
            else:
                wrong += prediction.output != answer
                good += not is_late
    latencies_s.sort()
    return Outcome(
        asked=len(stream.sent_s) * job.inputs_a_call,
        answered=answered,
        good=good,
        wrong=wrong,
        defaults=dict(reasons),
        calls=len(latencies_s),
        late_calls=late_calls,
        seconds=stream.answers[-1][0] - stream.sent_s[0],
        p50_s=quantile(latencies_s, 0.5),
        p99_s=quantile(latencies_s, 0.99),
        longest_s=latencies_s[-1],
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


def main() -> None:
    """Does the jobs that are asked for until there are no more."""
    for line in sys.stdin:
        print(json.dumps(asdict(run(Job(**json.loads(line))))), flush=True)


if __name__ == "__main__":
    main()
