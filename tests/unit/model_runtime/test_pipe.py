"""The pipe between a container and its model's process: what goes in at one end comes out at the other."""

import math
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from services.common.names import InputType
from services.model_runtime.pipe import Pipe
from services.model_runtime.prediction import Answer, Batch


@pytest.fixture
def ends() -> tuple[Pipe, Pipe]:
    """The container's end and the model's, which a test closes itself."""
    batches_out, batches_in = os.pipe()
    answers_out, answers_in = os.pipe()
    return Pipe(answers_out, batches_in), Pipe(batches_out, answers_in)


def close(*pipes: Pipe) -> None:
    for pipe in pipes:
        pipe.close()


@pytest.mark.parametrize("input_type", InputType)
def test_a_batch_arrives_as_it_was(ends: tuple[Pipe, Pipe], input_type: InputType) -> None:
    container, model = ends
    data = {InputType.STRINGS: "aäb".encode()}.get(input_type, bytes(range(8 * 3)))
    width = {InputType.INTS: 4, InputType.FLOATS: 4, InputType.DOUBLES: 8}.get(input_type, 1)
    lengths = [1, len(data) // width - 1, 0]

    container.send_batch(Batch(input_type, data, lengths, 12.5))
    arrived = model.receive_batch()

    assert (arrived.input_type, bytes(arrived.data), arrived.lengths, arrived.deadline_s) == (
        *(input_type, data, lengths, 12.5),
    )
    assert [str(each) for each in arrived.inputs()] == [str(each) for each in Batch(input_type, data, lengths).inputs()]
    close(*ends)


def test_a_batch_larger_than_the_pipe_and_without_a_deadline_arrives_whole(ends: tuple[Pipe, Pipe]) -> None:
    container, model = ends
    numbers = np.random.default_rng(1).random(4_000_000)

    with ThreadPoolExecutor(1) as sender:
        sending = sender.submit(container.send_batch, Batch(InputType.DOUBLES, numbers.tobytes(), [1_000_000] * 4))
        arrived = model.receive_batch()
        sending.result()

    assert arrived.deadline_s == math.inf
    assert np.array_equal(np.concatenate(list(arrived.inputs())), numbers)
    close(*ends)


@pytest.mark.parametrize(
    "answer",
    [
        Answer([], {}),
        Answer(["1", "", "ä€😀", "null"], {}, 17),
        Answer(["", "x", ""], {2: "ValueError: zwölf", 0: "KeyError"}, 2**40),
    ],
    ids=["of nothing", "texts", "failures"],
)
def test_an_answer_arrives_as_it_was(ends: tuple[Pipe, Pipe], answer: Answer) -> None:
    container, model = ends

    model.send_answer(answer)

    assert container.receive_answer() == answer
    close(*ends)


def test_an_end_that_is_closed_is_told_to_the_other(ends: tuple[Pipe, Pipe]) -> None:
    container, model = ends
    container.send_batch(Batch(InputType.DOUBLES, bytes(8), [1]))
    container.close()

    assert model.receive_batch().lengths == [1]
    model.wait()
    with pytest.raises(EOFError):
        model.receive_batch()
    with pytest.raises(BrokenPipeError):
        model.send_answer(Answer(["1"], {}))
    model.close()
