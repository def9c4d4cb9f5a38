"""Runs the model container: `python -m services.model_container`, with settings from CLIPPER_* variables.

It ends with 0 after SIGTERM or SIGINT, 2 for unusable settings, 3 when the model needs a module that is not installed,
4 for any other model that cannot be loaded, 5 when the model does not return for CLIPPER_PREDICT_TIMEOUT_S, 6 when it
is not loaded within CLIPPER_LOAD_TIMEOUT_S, and 1 when it does not even leave the interpreter to others for so long.
What the model prints goes to standard output as it is.
"""

import asyncio
import io
import logging
import os
import sys
from pathlib import Path

from services.common import allocator, grpc_core, logs
from services.common.errors import CallerError, InvalidInput
from services.common.lifecycle import StopSignal, VitalThread, end_forks_with_this_process
from services.common.settings import from_environment

allocator.keep_freed_memory()
grpc_core.do_io_on_waiting_threads()

from services.model_container.loading import MissingModule, UnusableModel, load  # noqa: E402
from services.model_container.outcomes import Outcomes  # noqa: E402
from services.model_container.server import ModelContainer  # noqa: E402
from services.model_container.settings import Settings  # noqa: E402
from services.model_container.watchdog import Watchdog, loading_ends_within  # noqa: E402

_LOG = logging.getLogger("services.model_container")
_SERVICE = "model_container"

_EXIT_CODES: dict[type[CallerError], int] = {InvalidInput: 2, MissingModule: 3, UnusableModel: 4}
_MODEL_HANGS = 5
_LOADING_HANGS = 6


def main() -> int:
    """Runs until a signal comes, with the model on this thread; returns the process's exit code."""
    logs.configure(_SERVICE, "INFO")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    stop = StopSignal()
    end_forks_with_this_process()
    try:
        settings = from_environment(Settings, os.environ)
        logs.configure(_SERVICE, settings.log_level)
        with asyncio.Runner() as runner:
            runner.get_loop()  # what the model calls its thread's event loop from the beginning
            outcomes = Outcomes(runner)
            with loading_ends_within(settings.load_timeout_s, lambda: os._exit(_LOADING_HANGS)):
                function = load(Path(settings.model_path), outcomes)
            container = ModelContainer(settings, function, outcomes)
            return _serve(container, settings, stop)
    except CallerError as error:
        _LOG.error(str(error), exc_info=error.__cause__)
        return _EXIT_CODES[type(error)]


def _serve(container: ModelContainer, settings: Settings, stop: StopSignal) -> int:
    """Serves on this thread, on which the model was loaded."""
    stop.drain()
    container.start()
    watchdog = Watchdog(container.predictor, settings.predict_timeout_s, lambda: _end(container))
    watchdog.start()
    drain = VitalThread(target=lambda: _drain(container, settings, stop), name="drain")
    drain.start()
    _LOG.info(
        "ready",
        extra={"model": settings.model_name, "version": settings.model_version, "address": container.address},
    )
    container.run()
    drain.join()
    watchdog.stop()
    return 0


def _drain(container: ModelContainer, settings: Settings, stop: StopSignal) -> None:
    """Ends the serving once a signal has come."""
    stop.wait()
    if not container.drain(settings.drain_grace_s):
        _LOG.warning("streams were cut off after %s s", settings.drain_grace_s)
        sys.stdout.flush()
        os._exit(0)  # the model may never return


def _end(container: ModelContainer) -> None:
    """Ends the process though its model runs; whoever owns it starts it again."""
    container.give_up()
    os._exit(_MODEL_HANGS)


if __name__ == "__main__":
    sys.exit(main())
