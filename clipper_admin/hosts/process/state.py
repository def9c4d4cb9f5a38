"""What a cluster writes down of itself: for later interpreters, for the next supervisor, and for the next life."""

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from clipper_admin.exceptions import ClipperException
from clipper_admin.hosts.identity import ProcessIdentity
from clipper_admin.hosts.process.directory import flush
from clipper_admin.hosts.process.process import ProcessSpec

# Counted up with each change of what is written.
_FORMAT = 1


class UnreadableState(ClipperException):
    """There is a state, but it cannot be read: damaged, or written by another release."""


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

    def is_supervised(self) -> bool:
        """Whether its supervisor still runs."""
        return self.supervisor is not None and self.supervisor.is_alive()

    def is_orphaned(self) -> bool:
        """Whether processes still run, but not their supervisor."""
        return not self.is_supervised() and bool(self.alive())

    def replicas(self) -> list[ProcessSpec]:
        """The model containers that are to run."""
        return [record.spec for record in self.processes if record.spec.model_id]

    def write(self, path: Path) -> None:
        """Replaces the file at `path` in one step, which also a power cut leaves done or undone."""
        unfinished = path.with_name(f"{path.name}.new")
        unfinished.write_text(json.dumps({"format": _FORMAT, **dataclasses.asdict(self)}, indent=1))
        flush(unfinished)
        os.replace(unfinished, path)
        flush(path.parent)

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """The state written to `path`; None when there is none.

        Raises:
            UnreadableState: it is none of ours.
        """
        try:
            return cls._from_json(json.loads(path.read_text()))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UnreadableState(
                f"The state of a cluster, {path}, cannot be read ({type(error).__name__}: {error}). "
                "ClipperConnection.start_clipper puts it aside and starts the cluster with what its store has kept"
            ) from error

    @classmethod
    def _from_json(cls, values: Mapping[str, Any]) -> Self:
        if values["format"] != _FORMAT:
            raise ValueError(f"its format is {values['format']!r}, not {_FORMAT}")
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
