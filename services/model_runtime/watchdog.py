"""The watchdog: notices a model that never returns, so that its process can be ended and started again.

A call of the model cannot be ended from outside: an endless loop, a deadlock or a lock on a file keeps its thread, and
with it the whole container, since calls are serialised. Only the process can go. A thread looks at the current call now
and then; a call costs nothing more than noting it.

A model in C code may also keep the interpreter itself, and this thread with it. Then faulthandler, which needs no
interpreter, writes all stacks to standard error and ends the process with 1. Each look puts that off.
"""

import faulthandler
import itertools
import logging
import math
import sys
import threading
import time
import traceback
from collections.abc import Callable

from services.common.lifecycle import VitalThread
from services.model_runtime.prediction import Batch, Call, Calling

_LOG = logging.getLogger(__name__)
_LONGEST_INTERVAL_S = 1.0
_LOOKS = 4
# Whoever is to end the process may itself run into what the model holds: the log, for one.
_END_S = 5.0
_MOST_INPUTS = 3
_LONGEST_INPUT = 200


class Watchdog:
    """Watches the calls of one model, from `start` until `stop`.

    Args:
        predictor: makes the calls.
        limit_s: a call that has run for so long, and beyond its batch's deadline, never returns; 0: none is watched.
        on_hang: ends the process, in a thread of the watchdog's; when it does not within 5 s, the process ends with 1.
    """

    def __init__(self, predictor: Calling, limit_s: float, on_hang: Callable[[], None]) -> None:
        self._predictor = predictor
        self._limit_s = limit_s
        self._interval_s = min(_LONGEST_INTERVAL_S, limit_s / _LOOKS)
        self._on_hang = on_hang
        self._over = threading.Event()
        self._thread = VitalThread(target=self._watch, name="watchdog")

    def start(self) -> None:
        """Watches from now on."""
        if self._limit_s:
            _end_without_interpreter(self._limit_s + _END_S)
            self._thread.start()

    def stop(self) -> None:
        """Watches no more; safe to repeat."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        faulthandler.cancel_dump_traceback_later()

    def _watch(self) -> None:
        seen: Call | None = None
        ran_s, looked_s = 0.0, time.monotonic()
        while not self._over.wait(self._interval_s):
            _end_without_interpreter(self._limit_s + _END_S)
            now_s, call = time.monotonic(), self._predictor.call
            # A call is not to blame for the time in which the whole process was stopped.
            ran_s = ran_s + min(now_s - looked_s, 2 * self._interval_s) if call is seen else 0.0
            seen, looked_s = call, now_s
            if call is not None and ran_s >= self._limit_s and _is_late(call.batch, now_s):
                _end_without_interpreter(_END_S)
                _report(call, now_s - call.began_s)
                self._on_hang()
                return


def _end_without_interpreter(after_s: float) -> None:
    faulthandler.dump_traceback_later(after_s, exit=True)


def _is_late(batch: Batch, now_s: float) -> bool:
    """Whether nobody waits for it; of a batch without a deadline nobody knows."""
    return batch.deadline_s <= now_s or batch.deadline_s == math.inf


def _report(call: Call, ran_s: float) -> None:
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    _LOG.critical(
        "the model has not returned for %.1f s, so its process ends; CLIPPER_PREDICT_TIMEOUT_S is the limit",
        ran_s,
        extra={
            "inputs": len(call.batch),
            "first_inputs": _sketch(call.batch),
            "stack": "".join(traceback.format_stack(frame)),
        },
    )


def _sketch(batch: Batch) -> list[str]:
    """The first inputs, each cut to what a line of the log can take."""
    first = itertools.islice(batch.inputs(), _MOST_INPUTS)
    return [str(each if isinstance(each, str) else each[:_LONGEST_INPUT].tolist())[:_LONGEST_INPUT] for each in first]
