"""Envoy's configuration: the template that all clusters share, filled in."""

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from importlib import resources
from string import Template
from typing import Self

from clipper.v1 import management_service_pb2, query_service_pb2
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import FileDescriptor
from google.rpc import error_details_pb2

from clipper_admin.exceptions import ClipperException

_TEMPLATE = "envoy.yaml.tmpl"
# Envoy can only print the error details that it has a description of.
_DESCRIBED = (query_service_pb2.DESCRIPTOR, management_service_pb2.DESCRIPTOR, error_details_pb2.DESCRIPTOR)
# Of a service's address beside the one that nobody can have, when Envoy tries them all.
_WEIGHT = 100
_ORIGIN = re.compile(r"\*|[a-z][a-z0-9+.-]*://[A-Za-z0-9.:-]+")


@dataclass(frozen=True, slots=True)
class EdgeSettings:
    """What a deployer can choose of the edge, by environment variables of these names with CLIPPER_EDGE_ before them.

    Attributes:
        heap_bytes: the memory at which Envoy refuses everybody; from three quarters of it on it defends itself.
        connections: how many connections of clients it keeps, and most of those that it makes to services of a kind.
        body_timeout_s: how long a REST request may take to arrive.
        cors_origins: whose pages may ask for predictions, as `https://shop.example`; `*` is everybody's.
    """

    heap_bytes: int = 768 << 20
    connections: int = 10_000
    body_timeout_s: int = 30
    cors_origins: tuple[str, ...] = ()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """The settings that `environment` holds; empty variables count as unset.

        Raises:
            ClipperException: a variable's value is of no use.
        """
        numbers = {name: _number(environment, name) for name in ("heap_bytes", "connections", "body_timeout_s")}
        origins = tuple(map(str.strip, environment.get(variable("cors_origins"), "").split(",")))
        return cls(
            **{name: number for name, number in numbers.items() if number},
            cors_origins=tuple(filter(None, origins)),
        )

    def __post_init__(self) -> None:
        for origin in self.cors_origins:
            if not _ORIGIN.fullmatch(origin):
                raise ClipperException(
                    f"{variable('cors_origins')} must be origins with commas between them, as "
                    f"https://shop.example,http://localhost:3000, or *: '{origin}'"
                )

    def within(self, open_files: int) -> Self:
        """The same for an Envoy that may have so many files open: it ends itself when it needs one more.

        A quarter is for clients' connections, as many for those to the services of each kind, and the rest for itself.
        """
        return replace(self, connections=max(1, min(self.connections, open_files // 4)))

    @property
    def placeholders(self) -> dict[str, str]:
        """The settings by the names that the template has for them."""
        return {
            "heap_bytes": str(self.heap_bytes),
            "connections": str(self.connections),
            "body_timeout_s": str(self.body_timeout_s),
            "cors_origins": "|".join(origin.replace(".", "[.]").replace("*", ".*") for origin in self.cors_origins),
        }


def configuration(
    *,
    listen_address: str,
    query_port: int,
    admin_port: int,
    envoy_admin_port: int,
    descriptor: str,
    query_services: Iterable[str],
    management_service: str,
    settings: Mapping[str, str],
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
        settings: EdgeSettings.placeholders, or what somebody else replaces later.
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
        **settings,
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
        socket_address = {"address": host, "port_value": int(port)}
        endpoint = {"address": {"socket_address": socket_address}}
        endpoints.append({"endpoint": endpoint, "load_balancing_weight": _WEIGHT})
    return json.dumps(endpoints)


def _number(environment: Mapping[str, str], name: str) -> int | None:
    text = environment.get(variable(name), "")
    if not text:
        return None
    if not re.fullmatch("[1-9][0-9]*", text):
        raise ClipperException(f"{variable(name)} must be a whole number above 0: '{text}'")
    return int(text)


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return f"CLIPPER_EDGE_{name.upper()}"
