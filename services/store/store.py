"""The store: what services read from it, write to it and wait for."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Self

from services.common.lessons import Lesson, Outcome
from services.common.records import Change, Configuration, Replica
from services.common.selection_records import ContextKey, QueryKey, Recorded, State
from services.store.configuration import Configurations, Decision
from services.store.connection import Connection
from services.store.erasure import Erasure
from services.store.events import Events, read_events
from services.store.followers import Followers
from services.store.identity import Identity
from services.store.keys import Keys
from services.store.leases import Leases
from services.store.lessons import Lessons
from services.store.predictions import Predictions
from services.store.states import read_contexts, read_states

_TIMEOUT_S = 2.0
# Some 25 MB for an application that has so much.
_FEEDBACK_KEPT = 50_000
# Some 35 MB.
_PREDICTIONS_KEPT = 500_000


class Store:
    """Redis as the services see it; of one event loop.

    Every method raises StoreUnavailable when Redis cannot be reached or refuses; nothing is tried again. Those that
    have to do with the configuration raise StoreReplaced, which is one, when it is not the store that this object has
    worked with.
    """

    def __init__(
        self,
        connection: Connection,
        keys: Keys,
        on_read: Callable[[Configuration], None],
        predictions_kept: int,
        feedback_kept: int,
    ) -> None:
        self._connection = connection
        self._keys = keys
        self._identity = Identity(connection, keys)
        self._configurations = Configurations(connection, keys, self._identity, on_read)
        self._followers = Followers(connection, keys)
        self._leases = Leases(connection, keys, self._identity)
        self._take_query_ids = connection.script("clock", "take_query_ids")
        selection = self._selection = connection.about("The selection state")
        self._predictions = Predictions(selection, keys, predictions_kept)
        self._lessons = Lessons(selection, keys, feedback_kept)
        self._erasure = Erasure(selection, keys)

    @classmethod
    def connect(
        cls,
        url: str,
        prefix: str = "clipper",
        timeout_s: float = _TIMEOUT_S,
        on_read: Callable[[Configuration], None] = lambda _: None,
        predictions_kept: int = _PREDICTIONS_KEPT,
        feedback_kept: int = _FEEDBACK_KEPT,
    ) -> Self:
        """A store on the Redis at `url`; connects on first use and again whenever a connection broke.

        Args:
            url: where Redis is.
            prefix: what all keys begin with.
            timeout_s: a Redis that is silent for so long, asked or dialled, counts as unreachable. Who follows the
                changes, or waits until they are followed, is to leave it well above a second, for which that blocks.
            on_read: is shown each configuration that is read or made.
            predictions_kept: how many of an application's newest predictions are there for their feedback and for its
                event log.
            feedback_kept: about how many of its newest feedback are there for its event log.
        """
        connection = Connection.open(url, timeout_s, "The configuration store")
        return cls(connection, Keys(prefix), on_read, predictions_kept, feedback_kept)

    async def close(self) -> None:
        """Closes the connections."""
        await self._connection.close()

    # Which store it is

    async def ping(self) -> None:
        """Returns when Redis answers, whatever it holds."""
        await self._connection.ping()

    async def check(self) -> None:
        """Returns when Redis answers, and is the store that is known."""
        await self._identity.check()

    # The configuration

    async def snapshot(self) -> Configuration:
        """Everything registered, as of one revision."""
        return await self._configurations.snapshot()

    async def update(self, decide: Decision) -> Configuration:
        """Changes the configuration atomically.

        `decide` is given the configuration and returns the changes; it is called again when that is no longer the
        newest. What it raises passes through and nothing is changed.

        Returns:
            The configuration after the change.
        """
        return await self._configurations.update(decide)

    def follow(self, revision: int) -> AsyncIterator[tuple[int, list[Change]]]:
        """Yields each revision after `revision` with its changes, for ever, as they happen.

        Raises:
            RevisionGap: a revision is missing from the stream.
            UnreadableChange: it cannot be read.
        """
        return self._configurations.follow(revision)

    async def acknowledge(self, follower: str, revision: int, lives_s: float) -> None:
        """Tells that a follower has taken over `revision`, and that it counts as a follower for `lives_s` from now."""
        await self._followers.acknowledge(follower, revision, lives_s)

    async def stop_following(self, follower: str) -> None:
        """Waits for this follower no longer."""
        await self._followers.remove(follower)

    async def wait_until_followed(self, revision: int, timeout_s: float) -> bool:
        """Returns when every live follower has taken over `revision`; False when that takes longer."""
        return await self._followers.wait(revision, timeout_s)

    # Leases and query ids

    async def next_replica_id(self, version_key: str) -> int:
        """An id that no replica of this version has had, counted from 0."""
        return await self._leases.next_replica_id(version_key)

    async def renew_lease(self, replica: Replica, expires_at_ms: int) -> bool:
        """Lets a replica's lease run until `expires_at_ms` (Unix time).

        Returns:
            Whether the replica's record stands as given. If not, it was swept or lost, or is another's.
        """
        return await self._leases.renew(replica, expires_at_ms)

    async def lease_expiries_ms(self) -> dict[str, int]:
        """Until when (Unix time) the lease of each replica runs, by the replica's key."""
        return await self._leases.expiries_ms()

    async def forget_lease(self, replica_key: str) -> None:
        """Drops a lease's expiry."""
        await self._leases.forget(replica_key)

    async def forget_lapsed_leases(self, now_ms: int) -> None:
        """Drops the expiries of the leases that have lapsed by `now_ms` (Unix time), and of no lease renewed since."""
        await self._leases.forget_lapsed(now_ms)

    async def lapsed_leases(self, now_ms: int) -> list[str]:
        """The keys of the replicas whose lease has lapsed by `now_ms` (Unix time)."""
        return await self._leases.lapsed(now_ms)

    async def take_query_ids(self, count: int) -> range:
        """`count` query ids that nobody else is ever given, also if Redis is started with older files."""
        keys = [self._keys.instance, self._keys.next_query_id]
        first = int(await self._identity.ask_known(self._take_query_ids, keys, [count]))
        return range(first, first + count)

    # Selection

    async def read_states(self, keys: Sequence[ContextKey]) -> list[State | None]:
        """The states of contexts, in one round trip: empty where nothing was learned, None where it is unreadable."""
        return await read_states(self._selection, self._keys, keys)

    async def contexts(self, application: str, registration: int, start: int = 0, count: int = 1_000) -> list[str]:
        """The contexts of an application that something was learned in, the latest first, from number `start`."""
        return await read_contexts(self._selection, self._keys, application, registration, start, count)

    async def record(self, predictions: Sequence[Recorded]) -> Counter[str]:
        """Keeps predictions for their feedback, for as long as their application's feedback window.

        Those of applications that are not registered are left out. Recording the same again changes nothing.

        Returns:
            How many older predictions of each application made way though their feedback could still have come.
        """
        return await self._predictions.record(predictions)

    async def join(self, queries: Sequence[QueryKey]) -> list[Recorded | None]:
        """The recorded predictions, in one round trip; None for those that are not, or no longer, recorded."""
        return await self._predictions.join(queries)

    async def learn(self, lessons: Sequence[Lesson]) -> list[Outcome]:
        """Learns lessons; for one task at a time.

        What adds up is learned whoever else learns in the same contexts. Where it does not, the functions are called
        again whenever somebody else has changed the state meanwhile. Of those that Redis has not all confirmed, the
        others are UNAVAILABLE.
        """
        return await self._lessons.learn(lessons)

    async def events(self, application: str, registration: int, after: str = "", count: int = 1_000) -> Events:
        """At most `count` events of an application after a cursor; "" begins with the oldest that is kept.

        A page without events tells that there are no more by now. A prediction is {"event": "prediction", "at_ms",
        "query_id", "context", "chosen": [arm, ...], "probability", "outputs": {arm: output}, "output", "default":
        whether that was the default output, "features": [number, ...]}. Feedback is {"event": "feedback", ...} with all
        of the prediction's, where "at_ms" is the time of the feedback, and "predicted_at_ms", "arms": those that were
        linked, "feedback_id", "label", "reward", "losses": {arm: loss}, of which null are those that it came without.
        Feedback by input has no "query_id", "output" and "predicted_at_ms"; all arms were asked.

        Raises:
            InvalidInput: `after` is no cursor.
        """
        return await read_events(self._selection, self._keys, application, registration, after, count)

    async def delete_context(self, key: ContextKey) -> bool:
        """Forgets a context: its state, the predictions that await feedback in it, and its events.

        It is forgotten entirely when this returns, but for the memory of query services: feedback on a prediction of
        the last seconds may begin it anew.

        Returns:
            Whether it had a state.
        """
        return await self._erasure.context(key)

    async def delete_application(self, application: str, registration: int) -> None:
        """Forgets all that was recorded and learned for an application whose record is deleted.

        Its record must be deleted first: from then on, nothing is recorded or learned for it, whoever tries.
        """
        await self._erasure.application(application, registration)
