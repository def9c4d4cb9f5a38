"""`python -m services.query`: a query service, until SIGTERM."""

import os
import sys

from services.common import logs
from services.common.errors import InvalidInput
from services.common.lifecycle import StopSignal
from services.common.settings import from_environment
from services.query.server import QueryServer
from services.query.settings import Settings


def main() -> int:
    """Runs the service; returns the exit code."""
    try:
        settings = from_environment(Settings, os.environ)
    except InvalidInput as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    logs.configure("query", settings.log_level)
    server = QueryServer(settings)
    # Only now: until it serves there is nothing to drain, and a signal just ends the process.
    stop = StopSignal()
    stop.wait()
    server.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
