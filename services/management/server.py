"""The composition root of the management service: builds its parts, wires them, and takes them down in order."""

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import grpc.aio
from clipper.v1 import management_service_pb2_grpc
from grpc_health.v1 import health as grpc_health
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.common.lifecycle import BackgroundTasks
from services.common.names import MANAGEMENT_SERVICE
from services.common.quarantine import Quarantine
from services.management.aio_server import aio_server
from services.management.health import Health
from services.management.interceptor import StatusInterceptor
from services.management.leases import Leases
from services.management.servicer import ManagementServicer
from services.management.settings import Settings
from services.store import Store

_LOG = logging.getLogger(__name__)
_LOOK_S = 1.0
_OPTIONS = (
    # A second process on the same port is a mistake to be told, not a partner to share it with.
    ("grpc.so_reuseport", 0),
    # The streams of containers that vanished without a word are found out and ended.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # Containers may probe an idle lease stream, and Envoy its connections, as often as they need.
    ("grpc.http2.max_ping_strikes", 0),
)


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[int]:
    """Runs the management service, and drains it at the end.

    Yields:
        The port that it serves on.
    """
    async with AsyncExitStack() as stack:
        quarantine = Quarantine()
        store = Store.connect(
            settings.redis_url,
            on_read=lambda configuration: quarantine.hold(configuration.unreadable),
        )
        stack.push_async_callback(store.close)
        leases = Leases(store, settings.lease_ttl_s)
        health = Health(store)
        server = _server(ManagementServicer(store, leases, settings.policy_prefixes), health)
        port = server.add_insecure_port(settings.address)
        await health.begin()
        await server.start()
        serving = BackgroundTasks()
        serving.start_vital("server", lambda: _until_it_ends(server))
        tasks = BackgroundTasks()
        stack.push_async_callback(tasks.close)
        tasks.start("store health", health.watch_for_ever)
        tasks.start("lease sweeper", leases.sweep_for_ever)
        _LOG.info("serving", extra={"port": port})
        try:
            yield port
        finally:
            await serving.close()
            await health.drain()
            leases.drain()
            await server.stop(settings.drain_grace_s)


def _server(servicer: ManagementServicer, health: Health) -> grpc.aio.Server:
    server = aio_server([StatusInterceptor()], _OPTIONS)
    management_service_pb2_grpc.add_ManagementServiceServicer_to_server(servicer, server)
    health_pb2_grpc.add_HealthServicer_to_server(health.servicer, server)
    reflection.enable_server_reflection((MANAGEMENT_SERVICE, grpc_health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    return server


async def _until_it_ends(server: grpc.aio.Server) -> None:
    """Waits for a server's end, which is an error as long as nobody stops it; raises what it died of.

    Not without a limit, since to break that off would break off the server.
    """
    while await server.wait_for_termination(_LOOK_S):
        pass
