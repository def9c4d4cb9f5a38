"""The metrics port: Prometheus text over HTTP."""

from prometheus_client import CollectorRegistry, start_http_server

from services.query.telemetry.exposition import CountsCollector


class MetricsPort:
    """Serves the samples of a collector on threads of its own.

    Attributes:
        port: the port that was bound.
    """

    def __init__(self, address: str, collector: CountsCollector) -> None:
        """Starts serving.

        Args:
            address: host:port; port 0 takes a free one.
            collector: asked at each scrape.

        Raises:
            OSError: the address cannot be bound.
        """
        registry = CollectorRegistry()
        registry.register(collector)
        host, _, port = address.rpartition(":")
        self._server, self._thread = start_http_server(int(port), host, registry)
        self.port: int = self._server.server_port

    def close(self) -> None:
        """Serves no more; safe to repeat."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
