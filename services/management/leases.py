"""The leases of replicas: opened, renewed and released by their holders, swept when they lapse.

A lease is a replica's record in the configuration and an expiry beside it. The expiry is always written first and
dropped last, so that no crash leaves a record without one. Any number of management services may serve the streams of
one replica and sweep: an expiry is dropped only while it is lapsed, and a renewal that finds its record gone, be it to
a sweep that met it halfway or to a loss of data, puts it back.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

from services.common.errors import Conflict, NotServing, StoreUnavailable
from services.common.records import Replica
from services.management import replicas
from services.management.grace_period import GracePeriod
from services.management.replicas import Applicant
from services.store import Store

_LOG = logging.getLogger(__name__)
# A lapsed replica then stays registered for at most a quarter longer than its lease ran.
_SWEEPS_PER_TIME_TO_LIVE = 4

_Request = TypeVar("_Request")


class Leases:
    """Keeps the leases in the store.

    Attributes:
        time_to_live_s: how long a lease runs without a renewal.
    """

    def __init__(self, store: Store, time_to_live_s: float) -> None:
        self.time_to_live_s = time_to_live_s
        self._store = store
        self._draining = False
        self._waits: set[asyncio.Timeout] = set()

    async def open(self, applicant: Applicant) -> Replica:
        """Gives an applicant its lease, with the id that it had unless another live replica has that now.

        Raises:
            StoreUnavailable: the lease could not be written.
        """
        replica_id = applicant.replica_id
        while True:
            if replica_id is None:
                replica_id = await self._store.next_replica_id(applicant.version_key)
            try:
                return await self._open(applicant.with_id(replica_id))
            except Conflict:
                replica_id = None

    async def renew(self, replica: Replica) -> None:
        """Extends a lease, and registers its replica again if the record is gone.

        While the store is away nothing can be written, and nothing is swept either: the lease lives on, and the next
        renewal writes it.

        Raises:
            Conflict: another live replica has its id.
        """
        try:
            if not await self._store.renew_lease(replica, self._expires_at_ms()):
                await self._store.update(lambda known: replicas.renew_lease(known, replica))
                _LOG.warning("replica registered again", extra={"replica": replica.key})
        except StoreUnavailable:
            _LOG.debug("a lease could not be renewed", extra={"replica": replica.key})

    async def ages_s(self) -> dict[str, float]:
        """How many seconds ago the lease of each replica was opened or renewed, by the replica's key.

        Raises:
            StoreUnavailable: they could not be read.
        """
        now_ms = _now_ms()
        expiries_ms = await self._store.lease_expiries_ms()
        return {key: self.time_to_live_s - (each - now_ms) / 1_000 for key, each in expiries_ms.items()}

    async def release(self, replica: Replica) -> None:
        """Ends a lease at once.

        Raises:
            StoreUnavailable: it could not be written; the lease will lapse.
        """
        await self._store.update(lambda known: replicas.remove(known, [replica.key]))
        await self._store.forget_lease(replica.key)
        _LOG.info("lease released", extra={"replica": replica.key})

    async def sweep_for_ever(self) -> None:
        """Removes replicas whose lease lapsed, unless an outage may have kept them from renewing it."""
        interval_s = self.time_to_live_s / _SWEEPS_PER_TIME_TO_LIVE
        grace_period = GracePeriod(self.time_to_live_s, interval_s)
        while True:
            try:
                await self._sweep(grace_period)
            except StoreUnavailable:
                grace_period.outage()
            except Exception:
                _LOG.exception("a sweep failed")
            await asyncio.sleep(interval_s)

    def drain(self) -> None:
        """Ends all streams, those to come included, so that their holders turn to another service; safe to repeat."""
        if self._draining:
            return
        self._draining = True
        now = asyncio.get_running_loop().time()
        for wait in self._waits:
            wait.reschedule(now)

    async def until_drained(self, requests: AsyncIterator[_Request]) -> AsyncIterator[_Request]:
        """Yields the requests of a stream.

        Raises:
            NotServing: the service drains.
        """
        while True:
            async with self._wait():
                try:
                    request = await anext(requests)
                except StopAsyncIteration:
                    return
            yield request

    @asynccontextmanager
    async def _wait(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(0 if self._draining else None) as wait:
                self._waits.add(wait)
                try:
                    yield
                finally:
                    self._waits.discard(wait)
        except TimeoutError:
            raise NotServing("The management service is shutting down") from None

    async def _open(self, replica: Replica) -> Replica:
        await self._store.renew_lease(replica, self._expires_at_ms())
        await self._store.update(lambda known: replicas.open_lease(known, replica))
        _LOG.info("lease opened", extra={"replica": replica.key, "address": replica.address})
        return replica

    async def _sweep(self, grace_period: GracePeriod) -> None:
        now_ms = _now_ms()
        lapsed = await self._store.lapsed_leases(now_ms)
        if grace_period.holds(time.monotonic()) or not lapsed:
            return
        await self._store.update(lambda known: replicas.remove(known, lapsed))
        await self._store.forget_lapsed_leases(now_ms)
        _LOG.warning("leases lapsed", extra={"replicas": lapsed})

    def _expires_at_ms(self) -> int:
        return _now_ms() + round(self.time_to_live_s * 1_000)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
