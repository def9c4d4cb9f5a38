"""Batches are answered whatever the model does, and one bad input costs only itself."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from services.common.limits import LARGEST_BATCH_ANSWER_BYTES
from services.common.names import InputType
from services.model_runtime.loading import ModelFunction
from services.model_runtime.outcomes import Outcomes
from services.model_runtime.outputs import Outputs
from services.model_runtime.prediction import Batch, Predictor
from tests.fixtures.endings import ENDINGS


def _batch(rows: Sequence[Sequence[float]], deadline_s: float = float("inf")) -> Batch:
    data = b"".join(np.array(row, "<f8").tobytes() for row in rows)
    return Batch(InputType.DOUBLES, data, [len(row) for row in rows], deadline_s)


def _predictor(function: ModelFunction, clock: Callable[[], float] = time.monotonic) -> Predictor:
    return Predictor(function, Outputs(Outcomes(asyncio.Runner())), clock)


def _refusing(*poison: float) -> Callable[[Any], list[str]]:
    def function(inputs: Any) -> list[str]:
        for row in inputs:
            if row[0] in poison:
                raise ValueError(f"cannot take {row[0]}")
        return [str(row[0]) for row in inputs]

    return function


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_each_bad_input_fails_with_its_own_error_and_the_others_are_answered(size: int) -> None:
    for poison in ({0.0}, {size - 1.0}, {0.0, size - 1.0}, {size // 2 + 0.0}):
        answer = _predictor(_refusing(*poison)).predict(_batch([[float(i)] for i in range(size)]))
        assert answer.outputs == ["" if i in poison else str(float(i)) for i in range(size)]
        assert answer.failures == {int(i): f"ValueError: cannot take {i}" for i in poison}


def test_bad_inputs_are_found_among_inputs_of_different_lengths() -> None:
    rows = [[1.0], [2.0, 2.0], [3.0, 3.0, 3.0], [4.0], [5.0, 5.0]]
    answer = _predictor(_refusing(3.0)).predict(_batch(rows))
    assert answer.outputs == ["1.0", "2.0", "", "4.0", "5.0"]


def test_inputs_are_fresh_for_each_trial_though_the_model_changed_them() -> None:
    def normalising(inputs: Any) -> list[float]:
        inputs /= 2
        if (inputs[:, 0] == 3.0).any():
            raise ValueError
        return [row[0] for row in inputs]

    answer = _predictor(normalising).predict(_batch([[2.0], [6.0], [8.0], [10.0]]))
    assert answer.outputs == ["1.0", "", "4.0", "5.0"]
    assert answer.failures == {1: "ValueError"}


def test_isolation_ends_at_the_deadline_and_the_rest_gets_the_error_of_its_batch() -> None:
    now_s = 0.0

    def slow(inputs: Any) -> list[str]:
        nonlocal now_s
        now_s += 1.0
        if len(inputs) > 1 or inputs[0][0] == 0:
            raise ValueError(f"failed for {len(inputs)}")
        return ["fine"]

    predictor = _predictor(slow, clock=lambda: now_s)
    answer = predictor.predict(_batch([[float(i)] for i in range(4)], deadline_s=4.0))
    assert answer.outputs == ["", "fine", "", ""]
    assert answer.failures == {
        0: "ValueError: failed for 1",
        2: "ValueError: failed for 4",
        3: "ValueError: failed for 4",
    }
    assert now_s == 4.0


def test_a_batch_past_its_deadline_is_still_tried_once() -> None:
    answer = _predictor(_refusing(), clock=lambda: 9.0).predict(_batch([[1.0], [2.0]], deadline_s=1.0))
    assert answer.outputs == ["1.0", "2.0"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_whatever_the_model_raises_is_a_failure(ending: str) -> None:
    def function(_inputs: Any) -> None:
        ENDINGS[ending]()

    answer = _predictor(function).predict(_batch([[1.0], [2.0]]))
    assert [message.partition(":")[0] for message in answer.failures.values()] == [ending] * 2


class _Odd(list[Any]):
    """A list that cannot be looked at."""

    def __init__(self, method: str, end: Callable[[], None]) -> None:
        self._method, self._end = method, end

    def __iter__(self) -> Any:
        self._do("iter")
        return iter(["a", "b"])

    @property
    def ndim(self) -> int:
        """What a numpy array has."""
        self._do("ndim")
        return 1

    def _do(self, method: str) -> None:
        if method == self._method:
            self._end()


@pytest.mark.parametrize("method", ["iter", "ndim"])
@pytest.mark.parametrize("ending", ENDINGS)
def test_whatever_looking_at_outputs_comes_to_is_a_failure(method: str, ending: str) -> None:
    answer = _predictor(lambda _inputs: _Odd(method, ENDINGS[ending])).predict(_batch([[1.0], [2.0]]))
    assert [message.partition(":")[0] for message in answer.failures.values()] == [ending] * 2


def test_messages_are_cut_and_valid_unicode() -> None:
    def function(_inputs: Any) -> list[str]:
        raise ValueError("\ud800" + "x" * 5000)

    message = _predictor(function).predict(_batch([[1.0]])).failures[0]
    assert message == "ValueError: ?" + "x" * (1000 - len("ValueError: ?"))


def test_an_exception_without_a_usable_text_is_told_by_its_type() -> None:
    class BadError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def function(_inputs: Any) -> list[str]:
        raise BadError

    assert _predictor(function).predict(_batch([[1.0]])).failures == {0: "BadError"}


def test_a_wrong_number_of_outputs_fails_every_input_without_another_trial() -> None:
    sizes: list[int] = []

    def function(inputs: Any) -> list[str]:
        sizes.append(len(inputs))
        return ["one"]

    answer = _predictor(function).predict(_batch([[1.0], [2.0], [3.0]]))
    assert sizes == [3]
    assert len(answer.failures) == 3
    assert answer.failures[0].endswith("for 3 inputs came 1 outputs")


def test_a_string_that_is_not_utf_8_fails_alone() -> None:
    batch = Batch(InputType.STRINGS, b"good\xffbetter", [4, 1, 6])
    answer = _predictor(lambda inputs: inputs).predict(batch)
    assert answer.outputs == ["good", "", "better"]
    assert answer.failures[1].startswith("UnicodeDecodeError: ")


def test_a_failed_batch_is_logged_once_with_the_models_traceback(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        _predictor(_refusing(1.0, 5.0)).predict(_batch([[float(i)] for i in range(8)]))
    (record,) = caplog.records
    assert (record.__dict__["inputs"], record.__dict__["failed"]) == (8, 2)
    assert "cannot take 1.0" in caplog.text
    assert "test_prediction.py" in caplog.text


def test_the_models_time_is_told_with_that_of_all_trials() -> None:
    waiting = threading.Event()

    def function(inputs: Any) -> list[str]:
        waiting.wait(0.01)
        return _refusing(2.0)(inputs)

    assert _predictor(function).predict(_batch([[1.0]])).model_micros >= 9_000
    assert _predictor(function).predict(_batch([[1.0], [2.0]])).model_micros >= 27_000


def test_the_answers_to_halves_of_a_batch_fit_into_one_message() -> None:
    size_bytes = LARGEST_BATCH_ANSWER_BYTES // 2

    def verbose(inputs: Any) -> list[str]:
        if (inputs[:, 0] == 0.0).any():
            raise ValueError
        return ["x" * (size_bytes + int(row[0])) for row in inputs]

    answer = _predictor(verbose).predict(_batch([[0.0], [1.0], [2.0]]))
    assert [len(output) for output in answer.outputs] == [0, size_bytes + 1, 0]
    assert answer.failures[0] == "ValueError"
    assert answer.failures[2].startswith(f"The output has {size_bytes + 2} bytes")
