"""The page of keys: where everything lies in Redis. Whoever else wants a key asks here.

The configuration and what belongs to it:

    {prefix}:instance           which store it is: the Unix time in ms of its first use, "-", a random id
    {prefix}:revision           integer: the newest revision
    {prefix}:applications, :model_versions, :current_versions, :replicas
                                hashes: key -> record as JSON
    {prefix}:changes            stream: id "{revision}-0", fields "id", "instance" and "changes" = JSON
                                [[kind, key, record or null], ...]
    {prefix}:lease_expiries     sorted set: replica key -> Unix time in ms at which its lease lapses
    {prefix}:next_replica_ids   hash: version key -> the next replica id
    {prefix}:next_query_id      integer: above all query ids that were handed out
    {prefix}:followers          set: the ids of those who follow the changes
    {prefix}:follower:{id}      integer: the revision that a follower has taken over; expires with the follower
    {prefix}:acknowledgements   stream: an entry whenever that changes, for those who wait for it

What selection keeps of each application, of which nothing is written for one that is not registered. {owner} is its
name and its registration, as name:revision, so that one that is registered again starts afresh:

    {prefix}:selection:{owner}:{context}    hash: name -> number: a context's state; lives for the application's
                                            context_ttl_s after each change
    {prefix}:selection_contexts:{owner}     sorted set: context -> Unix time in ms of the last change of its state
    {prefix}:recordings:{owner}:{query id >> 7}
                                            set: when the predictions with these ids were recorded, which is the first
                                            half of their ids in the stream below; lives for the application's
                                            feedback_window_s and a minute
    {prefix}:learned:{owner}:queries:{query id >> 10}
                                            bitmap by the id's low bits: what was learned from; lives as long
    {prefix}:learned:{owner}:feedback:{feedback id}
                                            there if that was learned; lives as long
    {prefix}:selection_predictions:{owner}  stream of the newest predictions: id "{Unix time in ms}-{query id}", field
                                            "prediction" = JSON; the oldest make way when there are too many
    {prefix}:selection_feedback:{owner}     stream of the newest feedback, field "feedback" = JSON; both live for
                                            context_ttl_s after the last event
"""

from typing import NamedTuple

from services.common.records import Kind
from services.common.selection_records import ContextKey

# Query ids are given out one after the other, so what is known of those of one bucket expires together.
_BUCKET_BITS = 10
_SLOT = (1 << _BUCKET_BITS) - 1


class Marker(NamedTuple):
    """Where it is marked that something was learned.

    Attributes:
        key: the key.
        slot: the bit of it; -1: the key's being there is the mark.
    """

    key: str
    slot: int


class Keys:
    """The keys under one prefix."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.instance = f"{prefix}:instance"
        self.revision = f"{prefix}:revision"
        self.changes = f"{prefix}:changes"
        self.position = (self.instance, self.revision, self.changes)
        self.lease_expiries = f"{prefix}:lease_expiries"
        self.next_replica_ids = f"{prefix}:next_replica_ids"
        self.next_query_id = f"{prefix}:next_query_id"
        self.followers = f"{prefix}:followers"
        self.acknowledgements = f"{prefix}:acknowledgements"
        self.applications = self.records(Kind.APPLICATION)

    def records(self, kind: Kind) -> str:
        """The records of a kind."""
        return f"{self._prefix}:{kind}"

    def follower(self, follower: str) -> str:
        """The revision that a follower has taken over."""
        return f"{self._prefix}:follower:{follower}"

    def context(self, key: ContextKey) -> str:
        """A context's state."""
        return f"{self._prefix}:selection:{key.application}:{key.registration}:{key.context}"

    def contexts(self, application: str, registration: int) -> str:
        """The contexts of an application."""
        return f"{self._prefix}:selection_contexts:{application}:{registration}"

    def recordings(self, application: str, registration: int) -> str:
        """What the keys that tell when predictions were recorded begin with; `lua/recordings.lua` completes them."""
        return f"{self._prefix}:recordings:{application}:{registration}:"

    def learned(self, application: str, registration: int, once: int | str) -> Marker:
        """The mark that a query's (int) or a client's own (str) feedback was learned."""
        learned = f"{self._prefix}:learned:{application}:{registration}"
        if isinstance(once, str):
            return Marker(f"{learned}:feedback:{once}", -1)
        return Marker(f"{learned}:queries:{once >> _BUCKET_BITS}", once & _SLOT)

    def prediction_events(self, application: str, registration: int) -> str:
        """The newest predictions."""
        return f"{self._prefix}:selection_predictions:{application}:{registration}"

    def feedback_events(self, application: str, registration: int) -> str:
        """The newest feedback."""
        return f"{self._prefix}:selection_feedback:{application}:{registration}"

    def single(self, application: str, registration: int) -> tuple[str, ...]:
        """The keys of which an application has one."""
        owner = application, registration
        return self.contexts(*owner), self.prediction_events(*owner), self.feedback_events(*owner)

    def pattern(self, application: str, registration: int) -> str:
        """A pattern that all its other keys match, and maybe keys of others."""
        return f"{self._prefix}:*:{application}:{registration}:*"

    def prefixes(self, application: str, registration: int) -> tuple[str, ...]:
        """What all its other keys begin with, and no key of others does."""
        kinds = ("selection", "recordings", "learned")
        return tuple(f"{self._prefix}:{kind}:{application}:{registration}:" for kind in kinds)
