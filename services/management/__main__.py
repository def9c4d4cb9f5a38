"""Starts the management service: `python -m services.management`, set up by CLIPPER_* environment variables."""

import asyncio
import os
import sys

from services.common import logs, settings
from services.common.errors import InvalidInput
from services.common.lifecycle import StopSignal
from services.management.server import running
from services.management.settings import Settings


def main() -> None:
    """Serves until the first SIGTERM or SIGINT."""
    try:
        chosen = settings.from_environment(Settings, os.environ)
    except InvalidInput as error:
        sys.exit(str(error))
    logs.configure("management", chosen.log_level)
    stop = StopSignal()
    stop.drain()
    asyncio.run(_serve(chosen, stop))


async def _serve(chosen: Settings, stop: StopSignal) -> None:
    async with running(chosen):
        await stop.wait_async()


if __name__ == "__main__":
    main()
