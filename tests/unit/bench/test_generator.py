"""What a generator counts as asked has been asked, also when it ends while an answer leads to the next call."""

import math
import threading
from pathlib import Path

from bench.rig.generator import Asking
from bench.rig.jobs import Job
from bench.rig.questions import Question, write


class _Puppet(Asking):
    """Whose second call, which the first one's answer leads to, is being made while it ends.

    Attributes:
        made: the calls that were made before it had ended.
    """

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self.made: list[int] = []
        self.is_making = threading.Event()
        self._has_ended = threading.Event()
        self._refill_until_s = math.inf

    def ask(self) -> None:
        """The first call is made."""
        self._send(0.0)

    def answer(self) -> None:
        """The answer to the first call comes."""
        self._received(0, b"")

    def close(self) -> None:
        self._stop()
        self._has_ended.set()

    def _start(self, number: int, message: bytes) -> None:
        if number == 1:
            self.is_making.set()
            # As long as it takes who ends it to get there, were it not kept waiting.
            self._has_ended.wait(0.2)
        if not self._has_ended.is_set():
            self.made.append(number)


def test_a_call_that_is_being_made_when_the_generator_ends_is_made_and_no_other(tmp_path: Path) -> None:
    file = write([Question(b"message", ("1",))], tmp_path)
    puppet = _Puppet(Job("nowhere", str(file), 1, 0.1, seconds=1.0))
    puppet.ask()
    answering = threading.Thread(target=puppet.answer)
    answering.start()
    assert puppet.is_making.wait(40.0)
    puppet.close()
    answering.join()
    assert puppet.made == [0, 1]
    assert len(puppet.due_s) == 2
    puppet.answer()
    assert puppet.made == [0, 1]
