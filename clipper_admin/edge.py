"""Envoy's configuration: the template that all clusters share, filled in."""

import json
from collections.abc import Iterable
from importlib import resources
from string import Template

from clipper.v1 import management_service_pb2, query_service_pb2
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import FileDescriptor
from google.rpc import error_details_pb2

_TEMPLATE = "envoy.yaml.tmpl"
# Envoy can only print the error details that it has a description of.
_DESCRIBED = (query_service_pb2.DESCRIPTOR, management_service_pb2.DESCRIPTOR, error_details_pb2.DESCRIPTOR)


def configuration(
    *,
    listen_address: str,
    query_port: int,
    admin_port: int,
    envoy_admin_port: int,
    descriptor: str,
    query_services: Iterable[str],
    management_service: str,
) -> str:
    """Envoy's configuration, as YAML.

    Args:
        listen_address: of both public listeners.
        query_port: for predictions.
        admin_port: for Clipper's administration.
        envoy_admin_port: for Envoy's own.
        descriptor: the path at which Envoy finds the descriptor set.
        query_services: host:port of each.
        management_service: host:port.
    """
    template = resources.files(__package__).joinpath(_TEMPLATE).read_text()
    return Template(template).substitute(
        listen_address=listen_address,
        query_port=query_port,
        management_port=admin_port,
        admin_port=envoy_admin_port,
        descriptor=json.dumps(descriptor),
        query_endpoints=_endpoints(query_services),
        management_endpoints=_endpoints([management_service]),
    )


def descriptor_set() -> bytes:
    """The contracts and all that they import as a serialised FileDescriptorSet."""
    files: dict[str, FileDescriptor] = {}
    for described in _DESCRIBED:
        _collect(described, files)
    described_files = descriptor_pb2.FileDescriptorSet()
    for file in files.values():
        file.CopyToProto(described_files.file.add())
    return described_files.SerializeToString()


def _collect(file: FileDescriptor, files: dict[str, FileDescriptor]) -> None:
    """Adds a file after everything that it imports."""
    for imported in file.dependencies:
        _collect(imported, files)
    files.setdefault(file.name, file)


def _endpoints(addresses: Iterable[str]) -> str:
    endpoints = []
    for address in addresses:
        host, _colon, port = address.rpartition(":")
        endpoints.append({"endpoint": {"address": {"socket_address": {"address": host, "port_value": int(port)}}}})
    return json.dumps(endpoints)
