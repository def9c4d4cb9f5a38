"""What may happen to replicas: pure decisions, from the configuration to the changes to make.

A replica need not belong to a registered version: a deployment starts replicas first and registers their version once
one of them is ready.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from services.common.errors import Conflict, InvalidInput
from services.common.names import InputType
from services.common.records import Change, Configuration, Kind, Replica, version_key
from services.management import limits
from services.management.models import check_identifier

_HIGHEST_PORT = 65_535


@dataclass(frozen=True, slots=True)
class Applicant:
    """A replica that asks for a lease.

    Attributes:
        model_name: the model's name.
        model_version: the version.
        input_type: what it takes.
        address: host:port at which query services reach it.
        replica_id: the id that it was given before; None for a new replica.

    Raises:
        InvalidInput: one of them is not valid.
    """

    model_name: str
    model_version: str
    input_type: InputType
    address: str
    replica_id: int | None = None

    def __post_init__(self) -> None:
        check_identifier("model name", self.model_name)
        check_identifier("model version", self.model_version)
        limits.check_length("replica's address", self.address, limits.LONGEST_ADDRESS)
        host, _, port = self.address.rpartition(":")
        if not (host and port.isdecimal() and 0 < int(port) <= _HIGHEST_PORT):
            raise InvalidInput(f"A replica's address must be host:port, not '{self.address}'")
        if self.replica_id is not None and self.replica_id < 0:
            raise InvalidInput(f"A replica's id must not be negative, but it is {self.replica_id}")

    @property
    def version_key(self) -> str:
        """The key of its model version."""
        return version_key(self.model_name, self.model_version)

    def with_id(self, replica_id: int) -> Replica:
        """The replica that it becomes."""
        return Replica(self.model_name, self.model_version, replica_id, self.input_type, self.address)


def open_lease(known: Configuration, replica: Replica) -> list[Change]:
    """Registers a replica that opens its lease.

    Whatever was registered at its address is gone, as one process listens there: left in place until its lease lapses,
    such a record would send a model's queries to another model.

    Raises:
        Conflict: another live replica has its id.
    """
    gone = [
        Change.delete(other)
        for other in known.replicas.values()
        if other.address == replica.address and other.key != replica.key
    ]
    return gone + renew_lease(known, replica)


def renew_lease(known: Configuration, replica: Replica) -> list[Change]:
    """Registers a replica again if it was swept or lost.

    Raises:
        Conflict: another live replica has its id.
    """
    registered = known.replicas.get(replica.key)
    if registered == replica:
        return []
    if registered is not None and registered.address != replica.address:
        raise Conflict(f"The lease of replica {replica.key} is held by {registered.address}")
    return [Change.put(replica)]


def remove(known: Configuration, keys: Iterable[str]) -> list[Change]:
    """Removes the replicas that are still registered under `keys`."""
    return [change for key in keys if (change := known.deletion(Kind.REPLICA, key)) is not None]


def find(known: Configuration, model_name: str, model_version: str, replica_id: int) -> Replica | None:
    """The replica of a version with this id, if it is registered."""
    wanted = (model_name, model_version, replica_id)
    for replica in known.replicas.values():
        if (replica.model_name, replica.model_version, replica.replica_id) == wanted:
            return replica
    return None
