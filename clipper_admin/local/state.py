"""What a cluster writes down of itself, for later interpreters and for the case that its supervisor is lost."""

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from clipper_admin.local.identity import ProcessIdentity
from clipper_admin.local.specification import ProcessSpec


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a cluster listens, host:port each.

    Attributes:
        query: predictions, REST and gRPC.
        admin: administration, REST and gRPC.
        metrics: each query service's metrics in the Prometheus text format.
        query_services: the query services themselves.
        management_service: the management service itself.
    """

    query: str
    admin: str
    metrics: tuple[str, ...]
    query_services: tuple[str, ...]
    management_service: str


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """One process that is to run, and which one runs for it."""

    spec: ProcessSpec
    identity: ProcessIdentity | None = None


@dataclass(frozen=True, slots=True)
class ClusterState:
    """A cluster as of one moment."""

    addresses: Addresses
    processes: tuple[ProcessRecord, ...] = field(default=())
    supervisor: ProcessIdentity | None = None

    def alive(self) -> list[ProcessIdentity]:
        """The processes that still run, the supervisor first."""
        known = [self.supervisor, *(record.identity for record in self.processes)]
        return [identity for identity in known if identity is not None and identity.is_alive()]

    def write(self, path: Path) -> None:
        """Replaces the file at `path` in one step."""
        unfinished = path.with_suffix(".new")
        unfinished.write_text(json.dumps(dataclasses.asdict(self), indent=1))
        os.replace(unfinished, path)

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """The state written to `path`; None when there is none."""
        try:
            values = json.loads(path.read_text())
        except FileNotFoundError:
            return None
        return cls(
            addresses=_addresses(values["addresses"]),
            processes=tuple(_record(record) for record in values["processes"]),
            supervisor=_identity(values["supervisor"]),
        )


def _addresses(values: Mapping[str, Any]) -> Addresses:
    several = {name: tuple(values[name]) for name in ("metrics", "query_services")}
    return Addresses(**{**values, **several})


def _record(values: Mapping[str, Any]) -> ProcessRecord:
    return ProcessRecord(ProcessSpec.from_json(values["spec"]), _identity(values["identity"]))


def _identity(values: Mapping[str, Any] | None) -> ProcessIdentity | None:
    return None if values is None else ProcessIdentity(**values)
