"""The store's keys in Redis; what lies there is told by the package."""

from services.common.records import Kind


class Keys:
    """The keys under one prefix."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.instance = f"{prefix}:instance"
        self.revision = f"{prefix}:revision"
        self.changes = f"{prefix}:changes"
        self.configuration = (self.instance, self.revision, self.changes)
        self.lease_expiries = f"{prefix}:lease_expiries"
        self.next_replica_ids = f"{prefix}:next_replica_ids"
        self.next_query_id = f"{prefix}:next_query_id"
        self.followers = f"{prefix}:followers"
        self.acknowledgements = f"{prefix}:acknowledgements"

    def records(self, kind: Kind) -> str:
        """The records of a kind."""
        return f"{self._prefix}:{kind}"

    def follower(self, follower: str) -> str:
        """The revision that a follower has taken over."""
        return f"{self._prefix}:follower:{follower}"
