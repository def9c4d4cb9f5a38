"""Envoy's configuration for a cluster of local processes, as files."""

from collections.abc import Iterable
from pathlib import Path

from clipper_admin.edge import EdgeSettings, configuration, descriptor_set
from clipper_admin.hosts.process.ports import LOOPBACK


def write_configuration(
    directory: Path,
    *,
    query_port: int,
    admin_port: int,
    envoy_admin_port: int,
    query_services: Iterable[str],
    management_service: str,
    settings: EdgeSettings,
) -> Path:
    """Writes Envoy's configuration and what it refers to.

    Args:
        directory: where to.
        query_port: for predictions.
        admin_port: for Clipper's administration.
        envoy_admin_port: for Envoy's own.
        query_services: host:port of each.
        management_service: host:port.
        settings: the deployer's.

    Returns:
        The configuration file.
    """
    descriptor = directory / "clipper.binpb"
    descriptor.write_bytes(descriptor_set())
    file = directory / "envoy.yaml"
    file.write_text(
        configuration(
            listen_address=LOOPBACK,
            query_port=query_port,
            admin_port=admin_port,
            envoy_admin_port=envoy_admin_port,
            descriptor=str(descriptor),
            query_services=query_services,
            management_service=management_service,
            settings=settings.placeholders,
        )
    )
    return file
