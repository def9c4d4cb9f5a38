"""Runs the model container: `python -m services.model_container`, with settings from CLIPPER_* variables.

It ends with 0 after SIGTERM or SIGINT, 2 for unusable settings, 3 when the model needs a module that is not installed,
4 for any other model that cannot be loaded, 5 when the model does not return for CLIPPER_PREDICT_TIMEOUT_S, and 1 when
it does not even leave the interpreter to others for so long. What the model prints goes to standard output as it is.
With CLIPPER_MODEL_PYTHON the model has a process of its own; when that ends, this one does, for the same reason.
"""

import asyncio
import io
import logging
import os
import sys

from services.common import allocator, grpc_core, logs
from services.common.errors import CallerError
from services.common.lifecycle import StopSignal, VitalThread, end_forks_with_this_process
from services.common.settings import from_environment

allocator.keep_freed_memory()
grpc_core.do_io_on_waiting_threads()

from services.model_container.model_process import ModelProcess, ModelProcessEnded  # noqa: E402
from services.model_container.server import ModelContainer  # noqa: E402
from services.model_container.settings import Settings  # noqa: E402
from services.model_runtime.endings import MODEL_HANGS, exit_code  # noqa: E402
from services.model_runtime.prediction import Predictor  # noqa: E402
from services.model_runtime.watchdog import Watchdog  # noqa: E402

_LOG = logging.getLogger("services.model_container")
_SERVICE = "model_container"
# The model's process, which watches its model itself and can say more, is given time to do so.
_BESIDE_LONGER_S = 10.0


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
        return (_run_with_model_beside if settings.model_python else _run_with_model)(settings, stop)
    except ModelProcessEnded as ended:
        return ended.exit_code
    except CallerError as error:
        _LOG.error(str(error), exc_info=error.__cause__)
        return exit_code(error)


def _run_with_model(settings: Settings, stop: StopSignal) -> int:
    """Serves a model that is loaded on this thread."""
    with asyncio.Runner() as runner:
        predictor = Predictor.loaded(settings, runner)
        container = ModelContainer(settings, predictor)
        watchdog = Watchdog(predictor, settings.predict_timeout_s, lambda: _end(container, MODEL_HANGS))
        return _serve(container, watchdog, settings, stop)


def _run_with_model_beside(settings: Settings, stop: StopSignal) -> int:
    """Serves a model that is loaded in a process of its own."""
    with ModelProcess(settings.model_python) as model:
        container = ModelContainer(settings, model)
        model.watch(lambda code: _end(container, code))
        limit_s = settings.predict_timeout_s and settings.predict_timeout_s + _BESIDE_LONGER_S
        watchdog = Watchdog(model, limit_s, lambda: _end(container, MODEL_HANGS))
        return _serve(container, watchdog, settings, stop)


def _serve(container: ModelContainer, watchdog: Watchdog, settings: Settings, stop: StopSignal) -> int:
    """Serves on this thread."""
    stop.drain()
    container.start()
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


def _end(container: ModelContainer, code: int) -> None:
    """Ends the process though its model runs, or has died; whoever owns it starts it again."""
    container.give_up()
    os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
