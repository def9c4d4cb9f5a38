"""Runs a model beside its container: `python -m services.model_runtime CONTAINER READS WRITES`.

The container starts it, with the interpreter of the model's environment, its own process id and two ends of pipes, and
with the CLIPPER_* variables that it has itself. It ends with the container, whatever that dies of, and with the codes
of the container's (see there) for the same reasons; how it fails stands in the container's log.
"""

import asyncio
import io
import logging
import os
import sys

from services.common import allocator, logs
from services.common.errors import CallerError, describe
from services.common.lifecycle import become_child_of, end_forks_with_this_process
from services.common.settings import from_environment
from services.model_runtime.endings import MODEL_HANGS, exit_code
from services.model_runtime.pipe import READY, Pipe
from services.model_runtime.prediction import Answer, Batch, Predictor
from services.model_runtime.settings import ModelSettings
from services.model_runtime.watchdog import Watchdog

_LOG = logging.getLogger("services.model_runtime")
_SERVICE = "model_container"


def main() -> int:
    """Answers batches until there are no more, with the model on this thread; returns the process's exit code."""
    container, reads, writes = map(int, sys.argv[1:])
    become_child_of(container)
    end_forks_with_this_process()
    logs.configure(_SERVICE, "INFO")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    for end in (reads, writes):
        os.set_inheritable(end, False)
    try:
        settings = from_environment(ModelSettings, os.environ)
        logs.configure(_SERVICE, settings.log_level)
        with asyncio.Runner() as runner:
            return _serve(Predictor.loaded(settings, runner), Pipe(reads, writes), settings)
    except CallerError as error:
        _LOG.error(str(error), exc_info=error.__cause__)
        return exit_code(error)


def _serve(predictor: Predictor, pipe: Pipe, settings: ModelSettings) -> int:
    pipe.send_answer(READY)
    watchdog = Watchdog(predictor, settings.predict_timeout_s, lambda: os._exit(MODEL_HANGS))
    watchdog.start()
    while True:
        _wait(pipe)
        try:
            batch = pipe.receive_batch()
        except EOFError:
            break
        pipe.send_answer(_answer(predictor, batch))
    watchdog.stop()
    return 0


def _wait(pipe: Pipe) -> None:
    """Waits for the next batch. What interrupts that, as a signal's handler that the model left behind may, is told."""
    while True:
        try:
            pipe.wait()
        except BaseException:
            _LOG.exception("something that the model left behind raised an exception between two batches")
        else:
            return


def _answer(predictor: Predictor, batch: Batch) -> Answer:
    try:
        return predictor.predict(batch)
    # That of a signal's handler again, which may come at any moment.
    except BaseException as error:
        _LOG.exception("something that the model left behind raised an exception")
        return Answer.failed(len(batch), describe(error))


if __name__ == "__main__":
    allocator.keep_freed_memory()
    sys.exit(main())
