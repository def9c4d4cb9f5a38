"""The store: all that is durable, in Redis, and the only one to know Redis.

It holds the configuration and the leases, what selection policies have learned, the predictions that await feedback,
and what happened; `keys.py` has what lies where. Whatever changes several keys is one step inside Redis: a script of
`lua/`, or a transaction.

Each configuration change writes the records, bumps the revision and appends an entry to the change stream whose id is
the revision. Readers load a snapshot and follow the stream from its revision; a number missing there means a gap, and a
new snapshot. Nothing is polled, and nothing scans the key space but the end of an application.

The store is not believed blindly: a record that cannot be read is left out of the configuration, which says so, and a
change that cannot be read is a gap. What is there instead of the store that was known, or an older copy of it, is
neither read for the configuration nor written to by it (StoreReplaced).
"""

from services.store.configuration import Decision, RevisionGap, UnreadableChange
from services.store.events import Events
from services.store.store import Store

__all__ = ["Decision", "Events", "RevisionGap", "Store", "UnreadableChange"]
