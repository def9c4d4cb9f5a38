"""The pipe between a model container and the process of its model: a batch there, its answer back, in turn.

A message is a header of fixed size, which says how much follows, and buffers. Numbers are this machine's own. A batch
is its lengths (32 bits each) and its packed data; an answer is the places of its failures, the lengths in characters of
its outputs and then of its failures' messages (32 bits each), and all these texts as one in UTF-8. So both ends handle
a batch whole: packed inputs are written from where they are, and read to where the model's arrays are made of them.

Before the first batch the model's process sends an empty answer, once the model is loaded. It ends when there are no
more batches to read.
"""

import contextlib
import fcntl
import os
import select
import struct
from array import array
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import TypeAlias

from services.common.names import InputType
from services.model_runtime.prediction import Answer, Batch

# Place of the input type, deadline on the clock that all processes of a machine share, inputs, bytes of data.
_BATCH = struct.Struct("=BdIQ")
# Microseconds of the model, outputs, failures, bytes of text.
_ANSWER = struct.Struct("=QIIQ")
_LENGTHS = "I"
_INPUT_TYPES = tuple(InputType)
READY = Answer([], {})

# The most that is allowed to anybody; a batch that has room is written at once.
_CAPACITY_BYTES = 1024 * 1024

_Buffers: TypeAlias = "Sequence[bytes | bytearray | array[int]]"


class Pipe:
    """One end; each belongs to one thread.

    Args:
        reads: the descriptor that is read from.
        writes: the one that is written to.
    """

    def __init__(self, reads: int, writes: int) -> None:
        self._reads = reads
        self._writes = writes
        self._arrivals = select.poll()
        self._arrivals.register(reads, select.POLLIN)
        # Who has opened too many pipes is refused, and goes on with small ones.
        with contextlib.suppress(OSError):
            fcntl.fcntl(writes, fcntl.F_SETPIPE_SZ, _CAPACITY_BYTES)

    def wait(self) -> None:
        """Blocks until there is something to read, or never will be."""
        self._arrivals.poll()

    def send_batch(self, batch: Batch) -> None:
        """Sends a batch; OSError when nobody reads any more."""
        header = _BATCH.pack(_INPUT_TYPES.index(batch.input_type), batch.deadline_s, len(batch), len(batch.data))
        self._write([header, array(_LENGTHS, batch.lengths), batch.data])

    def receive_batch(self) -> Batch:
        """The next batch; EOFError when there is none."""
        place, deadline_s, count, size_bytes = _BATCH.unpack(self._read(_BATCH.size))
        lengths = self._read_lengths(count)
        return Batch(_INPUT_TYPES[place], self._read(size_bytes), lengths, deadline_s)

    def send_answer(self, answer: Answer) -> None:
        """Sends what became of a batch; OSError when nobody reads any more."""
        texts = [*answer.outputs, *answer.failures.values()]
        data = "".join(texts).encode()
        header = _ANSWER.pack(answer.model_micros, len(answer.outputs), len(answer.failures), len(data))
        self._write([header, array(_LENGTHS, answer.failures), array(_LENGTHS, map(len, texts)), data])

    def receive_answer(self) -> Answer:
        """The next answer; EOFError when there is none."""
        model_micros, outputs, failures, size_bytes = _ANSWER.unpack(self._read(_ANSWER.size))
        places = self._read_lengths(failures)
        ends = accumulate(self._read_lengths(outputs + failures), initial=0)
        joined = self._read(size_bytes).decode()
        texts = [joined[start:end] for start, end in pairwise(ends)]
        return Answer(texts[:outputs], dict(zip(places, texts[outputs:], strict=True)), model_micros)

    def close(self) -> None:
        """Ends it; the other end finds nothing more to read."""
        os.close(self._writes)
        os.close(self._reads)

    def _read_lengths(self, count: int) -> list[int]:
        lengths = array(_LENGTHS)
        lengths.frombytes(self._read(count * lengths.itemsize))
        return lengths.tolist()

    def _read(self, size_bytes: int) -> bytearray:
        data = bytearray(size_bytes)
        rest = memoryview(data)
        while rest:
            count = os.readv(self._reads, [rest])
            if count == 0:
                raise EOFError
            rest = rest[count:]
        return data

    def _write(self, buffers: _Buffers) -> None:
        rest = [view for view in (memoryview(buffer).cast("B") for buffer in buffers) if view]
        while rest:
            count = os.writev(self._writes, rest)
            while rest and count >= len(rest[0]):
                count -= len(rest.pop(0))
            if rest:
                rest[0] = rest[0][count:]
