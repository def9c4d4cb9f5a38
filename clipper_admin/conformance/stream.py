"""A stream of batches, as a query service opens it: on a connection of its own, answered in the order sent."""

import contextlib
import dataclasses
import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import grpc

from clipper_admin import direct
from clipper_admin.conformance import batches, judging
from clipper_admin.conformance.batches import Answer, Batch
from clipper_admin.conformance.probes import Probe, Reply
from clipper_admin.conformance.verdicts import Broken

SERVICE = "clipper.v1.ModelContainerService"
# What a query service takes.
LARGEST_ANSWER_BYTES = 64 * 1024 * 1024
_METHOD = f"/{SERVICE}/PredictBatch"
_PARTING_S = 0.2
_OPTIONS = (
    ("grpc.max_receive_message_length", LARGEST_ANSWER_BYTES),
    ("grpc.max_send_message_length", -1),
    # A connection that was broken by a check must not hold up the next one.
    ("grpc.use_local_subchannel_pool", 1),
)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a stream ended."""

    code: grpc.StatusCode
    details: str

    def __str__(self) -> str:
        return f"{self.code.name} ({self.details})" if self.details else self.code.name


class Stream:
    """One stream; leaving the context half-closes it, and breaks it off if it does not end by that.

    Args:
        address: host:port of the container.
        input_type: of the batches.
        patience_s: an answer that takes longer is none.
        options: of the connection.
    """

    def __init__(
        self, address: str, input_type: str, patience_s: float, options: Sequence[tuple[str, int]] = ()
    ) -> None:
        self._input_type = input_type
        self._patience_s = patience_s
        self._next_id = 1
        self._unanswered: list[tuple[Batch, float]] = []
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._inbox: queue.SimpleQueue[tuple[float, bytes] | Ending] = queue.SimpleQueue()
        self._channel = direct.channel(address, (*_OPTIONS, *options))
        method: grpc.StreamStreamMultiCallable[bytes, bytes] = self._channel.stream_stream(_METHOD)
        self._call = method(iter(self._outbox.get, None))
        self._reader = threading.Thread(target=self._read, name=f"answers of {address}")
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.half_close()
        if kind is None:
            self._reader.join(_PARTING_S)
        self.cancel()
        self._channel.close()
        self._reader.join()

    def batch(self, probes: Sequence[Probe], *, input_type: str = "", timeout_micros: int = 0) -> Batch:
        """The next batch of this stream."""
        batch = Batch(self._next_id, input_type or self._input_type, probes, timeout_micros)
        self._next_id += 1
        return batch

    def send(self, *some: Batch) -> None:
        """Sends batches, without waiting for answers."""
        for batch in some:
            self._unanswered.append((batch, time.monotonic()))
            self._outbox.put(batch.message())

    def send_bytes(self, message: bytes) -> None:
        """Sends what is no batch."""
        self._outbox.put(message)

    def half_close(self) -> None:
        """Says that no more batches come; safe to repeat."""
        self._outbox.put(None)

    def cancel(self) -> None:
        """Breaks it off; safe to repeat."""
        self._call.cancel()

    def next(self) -> Answer | Ending:
        """What comes next.

        Raises:
            Broken: nothing does, or no answer.
        """
        came = self.next_within(self._patience_s)
        if came is None:
            raise Broken(f"{self._awaited()} not come within {self._patience_s:g} s")
        return came

    def next_within(self, patience_s: float) -> Answer | Ending | None:
        """What comes next, if it comes within so long.

        Raises:
            Broken: what comes is no answer.
        """
        try:
            came = self._inbox.get(timeout=patience_s)
        except queue.Empty:
            return None
        return came if isinstance(came, Ending) else batches.answer(came[1], came[0])

    def replies(self) -> list[Reply]:
        """What the next answer says to each input of its batch.

        Raises:
            Broken: there is none, or it is not one of that batch.
        """
        answer = self._answer()
        return judging.replies(*self._unanswered.pop(0), answer)

    def judge(self) -> None:
        """Compares the next answer with what is known of the inputs of its batch.

        Raises:
            Broken: there is none, or it is not right.
        """
        answer = self._answer()
        try:
            judging.judge(*self._unanswered.pop(0), answer)
        except Broken as broken:
            raise Broken(f"{broken}{self._whose(answer)}") from None

    def end(self) -> None:
        """Half-closes it and waits for its end.

        Raises:
            Broken: it does not end, or not well, or another answer comes.
        """
        self.half_close()
        came = self.next()
        if isinstance(came, Answer):
            raise Broken(f"All batches of a stream were answered, and one more answer came, to batch {came.batch_id}")
        if came.code is not grpc.StatusCode.OK:
            raise Broken(
                f"A stream whose batches were all answered was half-closed, and ended with {came}, not with OK"
            )

    def _answer(self) -> Answer:
        came = self.next()
        if isinstance(came, Ending):
            raise Broken(f"The stream ended with {came}, and {self._awaited().lower()} not come")
        return came

    def _whose(self, answer: Answer) -> str:
        """Which of the batches that are still to be answered it fits, as the end of a sentence."""
        for batch, sent_s in self._unanswered:
            with contextlib.suppress(Broken):
                judging.judge(batch, sent_s, dataclasses.replace(answer, batch_id=batch.batch_id))
                return f"; it would be right for batch {batch.batch_id}"
        return ""

    def _awaited(self) -> str:
        if not self._unanswered:
            return "The end of a stream that was half-closed has"
        batch, _ = self._unanswered[0]
        return f"The answer to batch {batch.batch_id}, of {batch.size}, has"

    def _read(self) -> None:
        try:
            for message in self._call:
                self._inbox.put((time.monotonic(), message))
        except grpc.RpcError:
            pass  # how it ended is told below
        self._inbox.put(Ending(self._call.code(), self._call.details() or ""))
