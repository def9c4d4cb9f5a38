"""What is sent and what is to come back: calls of one or many inputs, packed once."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clipper.v1 import query_service_pb2

from bench.rig.models import Images
from bench.rig.payloads import framed, packed


@dataclass(frozen=True, slots=True)
class Question:
    """One call.

    Attributes:
        message: the PredictRequest.
        answers: what the model answers to each input.
    """

    message: bytes
    answers: tuple[str, ...]


def question(application: str, inputs: Images, answers: Sequence[str]) -> Question:
    """A call that asks an application about some inputs."""
    request = query_service_pb2.PredictRequest(application=application, inputs=packed(inputs))
    return Question(request.SerializeToString(), tuple(answers))


def write(questions: Sequence[Question], directory: Path) -> Path:
    """Writes them to a file, whose messages `unframed` reads, and `read_answers` its answers."""
    file = directory / "questions.bin"
    file.write_bytes(framed([question.message for question in questions]))
    _answers_file(file).write_text(json.dumps([question.answers for question in questions]))
    return file


def read_answers(file: Path) -> list[list[str]]:
    """The answers of the questions that were written to `file`."""
    answers: list[list[str]] = json.loads(_answers_file(file).read_text())
    return answers


def _answers_file(file: Path) -> Path:
    return file.with_suffix(".answers.json")
