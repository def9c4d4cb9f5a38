"""What is sent and what is to come back: calls of one or many inputs, packed once."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from clipper.v1 import input_pb2, query_service_pb2

from bench.payloads import framed
from bench.slo.models import PIXELS, Images, Subject

# Enough that no two neighbours are alike, few enough to stay in the processor's cache for small calls.
_DIFFERENT_CALLS = 16


@dataclass(frozen=True, slots=True)
class Question:
    """One call.

    Attributes:
        message: the PredictRequest.
        answers: what the model answers to each input.
    """

    message: bytes
    answers: tuple[str, ...]


def calls(subject: Subject, application: str, inputs: int) -> list[Question]:
    """Different calls of so many inputs each."""
    places = np.arange(_DIFFERENT_CALLS * inputs).reshape(_DIFFERENT_CALLS, inputs) % len(subject.questions)
    return [_call(subject, application, row) for row in places.tolist()]


def marked(subject: Subject, application: str, numbers: Sequence[int]) -> list[Question]:
    """Calls of one input each, equal exactly where the numbers are."""
    image = subject.questions[0].copy()
    questions = []
    for number in numbers:
        image[0] = number
        questions.append(Question(_message(application, image[np.newaxis]), subject.answers[:1]))
    return questions


def write(questions: Sequence[Question], file: Path) -> None:
    """Writes them where `read_messages` and `read_answers` find them."""
    file.write_bytes(framed([question.message for question in questions]))
    _answers_file(file).write_text(json.dumps([question.answers for question in questions]))


def read_answers(file: Path) -> list[list[str]]:
    """The answers of the questions that were written to `file`."""
    answers: list[list[str]] = json.loads(_answers_file(file).read_text())
    return answers


def _answers_file(file: Path) -> Path:
    return file.with_suffix(".answers.json")


def _call(subject: Subject, application: str, places: Sequence[int]) -> Question:
    images = subject.questions[places]
    return Question(_message(application, images), tuple(subject.answers[place] for place in places))


def _message(application: str, images: Images) -> bytes:
    inputs = input_pb2.Inputs(
        type=input_pb2.INPUT_TYPE_DOUBLES, data=images.astype("<f8").tobytes(), lengths=[PIXELS] * len(images)
    )
    return query_service_pb2.PredictRequest(application=application, inputs=inputs).SerializeToString()
