"""All or nothing: what is done in a context is undone, the latest first, when the context fails."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import requests

from clipper_admin.exceptions import ClipperException
from clipper_admin.logs import ClusterAdapter

_LOG = logging.getLogger(__name__)


class Undoing:
    """What is to be undone, for each thread by itself."""

    def __init__(self, cluster_name: str) -> None:
        self._threads = threading.local()
        self._logger = ClusterAdapter(_LOG, cluster_name)

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """Undoes what is noted within the context if that fails; one within another is part of it."""
        outer: list[Callable[[], object]] | None = getattr(self._threads, "noted", None)
        noted: list[Callable[[], object]] = []
        self._threads.noted = noted
        try:
            yield
        except BaseException:
            for undo in reversed(noted):
                self._try(undo)
            raise
        else:
            if outer is not None:
                outer += noted
        finally:
            self._threads.noted = outer

    def note(self, undo: Callable[[], object]) -> None:
        """Notes how to undo what was just done."""
        noted: list[Callable[[], object]] | None = getattr(self._threads, "noted", None)
        if noted is not None:
            noted.append(undo)

    def _try(self, undo: Callable[[], object]) -> None:
        try:
            undo()
        except (ClipperException, requests.RequestException) as error:
            self._logger.warning("Not everything could be undone: %s", error)
