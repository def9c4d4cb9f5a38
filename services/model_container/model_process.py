"""The model's process, where the model has an environment of its own: beside the container's, joined by pipes.

It is the container's in all things: it loads the model before the container serves, answers its batches one by one,
ends with it, and the container ends when it does; whoever owns the container starts both again.
"""

import logging
import os
import subprocess
import threading
import time
from collections.abc import Callable
from typing import NoReturn, Self

from services.common.errors import InvalidInput
from services.common.lifecycle import VitalThread
from services.model_runtime.pipe import Pipe
from services.model_runtime.prediction import Answer, Batch, Call

_LOG = logging.getLogger(__name__)


class ModelProcessEnded(Exception):
    """The model's process ended before the model was loaded, and has said why.

    Attributes:
        exit_code: what it ended with, as a shell tells it.
    """

    def __init__(self, exit_code: int) -> None:
        super().__init__(f"the model's process ended with {exit_code}")
        self.exit_code = exit_code


class ModelProcess:
    """A model in a process of its own, loaded once this is made; all but `call` belongs to the main thread.

    Args:
        python: the interpreter of the model's environment.

    Attributes:
        call: the call from which the model has not returned yet; None while there is none.

    Raises:
        InvalidInput: the interpreter cannot be started.
        ModelProcessEnded: the model cannot be loaded.
    """

    def __init__(self, python: str) -> None:
        self.call: Call | None = None
        self._closing = threading.Event()
        self._process, self._pipe = _start(python)
        self._watching: VitalThread | None = None
        try:
            self._pipe.receive_answer()
        except EOFError:
            raise ModelProcessEnded(_exit_code(self._process.wait())) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Ends it, once it has nothing to do, and waits for that."""
        self._closing.set()
        self._pipe.close()
        self._process.wait()
        if self._watching is not None:
            self._watching.join()

    def watch(self, on_death: Callable[[int], None]) -> None:
        """Calls `on_death` with the exit code, on a thread of its own, if the process ends before it is closed."""
        self._watching = VitalThread(target=lambda: self._await_death(on_death), name="model process")
        self._watching.start()

    def predict(self, batch: Batch) -> Answer:
        """Answers a batch; never returns when the process ends meanwhile, as then this one does, too."""
        self.call = Call(batch, time.monotonic())
        try:
            self._pipe.send_batch(batch)
            return self._pipe.receive_answer()
        except (OSError, EOFError):
            _wait_for_the_end()
        finally:
            self.call = None

    def _await_death(self, on_death: Callable[[int], None]) -> None:
        exit_code = _exit_code(self._process.wait())
        if not self._closing.is_set():
            _LOG.error("the model's process ended with %d, and the container ends, too", exit_code)
            on_death(exit_code)


def _start(python: str) -> tuple[subprocess.Popen[bytes], Pipe]:
    batches_out, batches_in = os.pipe()
    answers_out, answers_in = os.pipe()
    ends = (batches_out, answers_in)
    # -P keeps the working directory off the import path, as for the container.
    command = (python, "-P", "-m", "services.model_runtime", *map(str, (os.getpid(), *ends)))
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=ends)
    except OSError as error:
        raise InvalidInput(f"CLIPPER_MODEL_PYTHON must be an interpreter: '{python}' cannot be started") from error
    for end in ends:
        os.close(end)
    return process, Pipe(answers_out, batches_in)


def _exit_code(returned: int) -> int:
    return returned if returned >= 0 else 128 - returned


def _wait_for_the_end() -> NoReturn:
    while True:
        threading.Event().wait()
