"""What this service says of its health: the process lives, and the service is ready while its store answers."""

import asyncio
import logging

from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio

from services.common.errors import StoreUnavailable
from services.common.names import MANAGEMENT_SERVICE
from services.store import Store

_LOG = logging.getLogger(__name__)
_CHECK_INTERVAL_S = 1.0
_STATES = health_pb2.HealthCheckResponse


class Health:
    """Answers grpc.health.v1 for the management service, and for "", which stays SERVING until the drain.

    Attributes:
        servicer: to be added to the server.
    """

    def __init__(self, store: Store) -> None:
        self.servicer = aio.HealthServicer()
        self._store = store
        self._trouble: str | None = None

    async def begin(self) -> None:
        """Says that the service is not ready yet; for the time before the first look at the store."""
        await self.servicer.set(MANAGEMENT_SERVICE, _STATES.NOT_SERVING)

    async def watch_for_ever(self) -> None:
        """Follows whether the store can be reached, and is the one that it was."""
        while True:
            await self._check()
            await asyncio.sleep(_CHECK_INTERVAL_S)

    async def drain(self) -> None:
        """Says NOT_SERVING from now on; safe to repeat."""
        await self.servicer.enter_graceful_shutdown()

    async def _check(self) -> None:
        try:
            await self._store.check()
        except StoreUnavailable as error:
            trouble = str(error)
        else:
            trouble = ""
        if trouble == self._trouble:
            return
        self._trouble = trouble
        await self.servicer.set(MANAGEMENT_SERVICE, _STATES.NOT_SERVING if trouble else _STATES.SERVING)
        if trouble:
            _LOG.error(trouble)
        else:
            _LOG.info("The configuration store can be reached")
