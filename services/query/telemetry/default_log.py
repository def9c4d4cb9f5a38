"""The log of default outputs: a line an application in ten seconds, however many queries it stands for.

The first one is logged at once. Those of the next ten seconds are counted, and their lines are due when these are over.
"""

import logging
import math

from services.query.engine.requests import DefaultReason

_LOG = logging.getLogger(__name__)
_INTERVAL_S = 10.0
_MODEL_ERROR = DefaultReason.MODEL_ERROR


class DefaultLog:
    """Counts default outputs until it is time to log them.

    Attributes:
        due_s: when `write` has something to do, on the clock of its argument; infinite when there is nothing to log.
    """

    __slots__ = ("_counts", "_model_errors", "_next_s", "due_s")

    def __init__(self) -> None:
        self.due_s = math.inf
        self._next_s = -math.inf
        # By reason in a list, because a flood of default outputs passes through here and an enumeration hashes slowly.
        self._counts: dict[str, list[int]] = {}
        self._model_errors: dict[str, str] = {}

    def add(self, application: str, reason: DefaultReason, explanation: str = "", *, count: int = 1) -> None:
        """Counts default outputs of an application, one unless there were more."""
        counts = self._counts.get(application)
        if counts is None:
            counts = self._counts[application] = [0] * len(DefaultReason)
        counts[reason] += count
        if reason is _MODEL_ERROR:
            self._model_errors[application] = explanation
        self.due_s = self._next_s

    def write(self, now_s: float) -> None:
        """Logs what was counted."""
        for application, counts in self._counts.items():
            extra: dict[str, object] = {
                "application": application,
                "defaults": {DefaultReason(reason).name.lower(): count for reason, count in enumerate(counts) if count},
            }
            if application in self._model_errors:
                extra["model_error"] = self._model_errors[application]
            _LOG.warning("queries went without a prediction", extra=extra)
        self._counts.clear()
        self._model_errors.clear()
        self._next_s = now_s + _INTERVAL_S
        self.due_s = math.inf
