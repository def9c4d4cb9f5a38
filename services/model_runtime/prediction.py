"""Prediction: calls the model with batches so that each input gets an output or a failure of its own.

Whatever a model raises, SystemExit included, is a failure and never the end of its container. One bad input costs only
itself: a batch that raised is tried again half by half until the bad inputs are found or its deadline has come. Each
trial maps the inputs anew from the packed batch, because a model may have changed those it was given.

One thread makes all calls, and the conversion of what they return: the one on which the model was loaded, since what a
model holds may belong to it.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self

from services.common import tensors
from services.common.errors import describe
from services.common.names import InputType
from services.model_runtime.loading import ModelFunction, enter, load
from services.model_runtime.outcomes import Outcomes
from services.model_runtime.outputs import Outputs, every_input, fit
from services.model_runtime.settings import ModelSettings, NonFinite

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Batch:
    """Inputs for one call of the model.

    Attributes:
        input_type: the type of every input.
        data: the packed inputs.
        lengths: elements of each input, in order; at least one.
        deadline_s: the time, on the predictor's clock, after which nobody waits for the answer.
    """

    input_type: InputType
    data: bytes | bytearray
    lengths: Sequence[int]
    deadline_s: float = math.inf

    def __len__(self) -> int:
        return len(self.lengths)

    def inputs(self) -> tensors.ModelInputs:
        """The inputs as the model takes them, for it to keep or change."""
        return tensors.model_inputs(self.input_type, self.data, self.lengths)

    def halves(self) -> tuple[Self, Self]:
        """The batch cut in two."""
        middle = len(self) // 2
        first, second = self.lengths[:middle], self.lengths[middle:]
        cut = sum(first) * tensors.ELEMENT_BYTES[self.input_type]
        kind = type(self)
        return (
            kind(self.input_type, self.data[:cut], first, self.deadline_s),
            kind(self.input_type, self.data[cut:], second, self.deadline_s),
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a batch.

    Attributes:
        outputs: one an input, in order; empty at the places in `failures`.
        failures: why the model failed, by place in the batch.
        model_micros: microseconds spent in the model's code.
    """

    outputs: list[str]
    failures: dict[int, str]
    model_micros: int = 0

    @classmethod
    def failed(cls, count: int, message: str, model_micros: int = 0) -> Self:
        """Every one of `count` inputs failed for the same reason."""
        return cls(*every_input(count, message), model_micros)

    def joined(self, second: Self) -> Self:
        """The answer to this one's inputs followed by those of `second`."""
        shifted = {len(self.outputs) + index: message for index, message in second.failures.items()}
        return type(self)(
            self.outputs + second.outputs, self.failures | shifted, self.model_micros + second.model_micros
        )

    def fitted(self) -> Self:
        """This answer, as one message can hold it."""
        return type(self)(*fit(self.outputs, self.failures), self.model_micros)


class Call(NamedTuple):
    """One call of the model.

    Attributes:
        batch: what it is called with.
        began_s: when, on the predictor's clock.
    """

    batch: Batch
    began_s: float


class Calling(Protocol):
    """Whatever has batches answered by a model."""

    @property
    def call(self) -> Call | None:
        """The call from which the model has not returned yet; None while there is none. For any thread."""

    def predict(self, batch: Batch) -> Answer:
        """Answers a batch; never raises for what the model does."""


class Predictor:
    """A model that answers every batch; `predict` belongs to the thread that loaded it.

    Attributes:
        call: the call from which the model has not returned yet; None while there is none.
    """

    def __init__(self, function: ModelFunction, outputs: Outputs, clock: Callable[[], float] = time.monotonic) -> None:
        self._function = function
        self._outputs = outputs
        self._clock = clock
        self.call: Call | None = None

    @classmethod
    def loaded(cls, settings: ModelSettings, runner: asyncio.Runner) -> Self:
        """The model of the settings, loaded and warmed up on this thread, with the runner's loop for its event loop.

        Raises:
            MissingModule: an import of the model's failed.
            UnusableModel: there is no model, or it failed while it was loaded.
        """
        runner.get_loop()  # what the model calls its thread's event loop from the beginning
        outcomes = Outcomes(runner)
        return cls(load(enter(settings.model_path), outcomes), Outputs(outcomes, NonFinite(settings.non_finite)))

    def predict(self, batch: Batch) -> Answer:
        """Answers a batch; never raises for what the model does."""
        answer, error = self._call(batch)
        if error is None:
            return answer
        isolated = self._isolate(batch, answer).fitted()
        _LOG.error(
            "the model raised an exception",
            exc_info=error,
            extra={"inputs": len(batch), "failed": len(isolated.failures)},
        )
        return isolated

    def _call(self, batch: Batch) -> tuple[Answer, BaseException | None]:
        try:
            inputs = batch.inputs()
        except UnicodeDecodeError as error:  # a string that is none fails like one that the model cannot take
            return Answer.failed(len(batch), describe(error)), error
        self.call = Call(batch, self._clock())
        started_ns = time.perf_counter_ns()
        try:
            returned = self._outputs.settled(self._function(inputs))
            model_micros = _micros_since(started_ns)
            # What was returned may be of the model's own types, and looking at it run the model's code.
            return Answer(*self._outputs.to_texts(returned, len(batch)), model_micros), None
        except BaseException as error:
            return Answer.failed(len(batch), describe(error), _micros_since(started_ns)), error
        finally:
            self.call = None

    def _isolate(self, batch: Batch, failed: Answer) -> Answer:
        """Answers a batch that raised half by half; `failed` is the answer where there is no time or nothing to cut."""
        if len(batch) == 1:
            return failed
        first, second = (self._retry(half, failed.failures[0]) for half in batch.halves())
        joined = first.joined(second)
        return Answer(joined.outputs, joined.failures, failed.model_micros + joined.model_micros)

    def _retry(self, half: Batch, message: str) -> Answer:
        if self._clock() >= half.deadline_s:
            return Answer.failed(len(half), message)
        answer, error = self._call(half)
        return answer if error is None else self._isolate(half, answer)


def _micros_since(started_ns: int) -> int:
    return (time.perf_counter_ns() - started_ns) // 1000
