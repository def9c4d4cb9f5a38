"""The store: the configuration and all else that is durable but what is learned, in Redis.

With `selection_store`, it is the only one to know Redis. Each configuration change is one step that writes the records,
bumps the revision and appends an entry to the change stream whose id is the revision. Readers load a snapshot and
follow the stream from its revision; a number missing there means a gap, and a new snapshot. Nothing is polled and
nothing scans the key space.

The store is not believed blindly: a record that cannot be read is left out of the configuration, which says so, and a
change that cannot be read is a gap. What is there instead of the store that was known, or an older copy of it, is
neither read nor written (StoreReplaced).

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
"""

from services.common.store.configurations import Decision, RevisionGap, UnreadableChange
from services.common.store.store import Store

__all__ = ["Decision", "RevisionGap", "Store", "UnreadableChange"]
