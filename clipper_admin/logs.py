"""What clipper_admin tells its user while it works: one line a step, prefixed with the cluster's name."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

_FORMAT = "%(asctime)s %(levelname)-8s [%(filename)s:%(lineno)d] %(message)s"
_TIME_FORMAT = "%y-%m-%d:%H:%M:%S"


class ClusterAdapter(logging.LoggerAdapter[logging.Logger]):
    """A logger whose lines begin with "[cluster]"."""

    def __init__(self, logger: logging.Logger, cluster_name: str) -> None:
        super().__init__(logger, {})
        self._cluster_name = cluster_name

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Prefixes one message."""
        return f"[{self._cluster_name}] {msg}", kwargs


class _CurrentStandardError(logging.Handler):
    """Writes to whatever sys.stderr is at the moment: notebooks and test runners replace it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Writes one line."""
        print(self.format(record), file=sys.stderr, flush=True)  # noqa: T201


def configure() -> None:
    """Shows the lines on standard error, unless the program has set up logging itself."""
    logger = logging.getLogger("clipper_admin")
    if logger.hasHandlers():
        return
    handler = _CurrentStandardError()
    handler.setFormatter(logging.Formatter(_FORMAT, _TIME_FORMAT))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
