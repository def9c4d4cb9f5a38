"""The selection store: what is recorded, read, learned and forgotten."""

from collections import Counter
from collections.abc import Sequence
from typing import Self

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from services.common.lessons import Addition, Lesson, Outcome, Revision
from services.common.selection_records import ContextKey, QueryKey, Recorded, State
from services.common.selection_store.additions import Additions
from services.common.selection_store.erasure import Erasure
from services.common.selection_store.events import Events, read_events
from services.common.selection_store.keys import Keys
from services.common.selection_store.outages import unavailable_if_redis_fails
from services.common.selection_store.predictions import Predictions
from services.common.selection_store.revisions import Revisions
from services.common.selection_store.states import read_states

_TIMEOUT_S = 1.0
# Some 25 MB for an application that has so much.
_FEEDBACK_KEPT = 50_000
# Some 35 MB.
_PREDICTIONS_KEPT = 500_000


class SelectionStore:
    """Redis as the selection layer sees it; of one event loop.

    Every method raises StoreUnavailable when Redis cannot be reached or refuses; nothing is tried again.
    """

    def __init__(self, client: "redis.asyncio.Redis", prefix: str, predictions_kept: int, feedback_kept: int) -> None:
        self._redis = client
        self._keys = Keys(prefix)
        self._predictions = Predictions(client, self._keys, predictions_kept)
        self._additions = Additions(client, self._keys, feedback_kept)
        self._revisions = Revisions(client, self._keys, feedback_kept)
        self._erasure = Erasure(client, self._keys)

    @classmethod
    def connect(
        cls,
        url: str,
        prefix: str = "clipper",
        timeout_s: float = _TIMEOUT_S,
        predictions_kept: int = _PREDICTIONS_KEPT,
        feedback_kept: int = _FEEDBACK_KEPT,
    ) -> Self:
        """A store on the Redis at `url`; connects on first use and again whenever a connection broke.

        A Redis that is silent for `timeout_s`, asked or dialled, counts as unreachable. Of an application the newest
        `predictions_kept` predictions are there for their feedback and for its event log, and there about the newest
        `feedback_kept` feedback.
        """
        client = redis.asyncio.Redis.from_url(
            url,
            protocol=2,
            decode_responses=True,
            socket_connect_timeout=timeout_s,
            socket_timeout=timeout_s,
            retry=Retry(NoBackoff(), retries=0),
        )
        return cls(client, prefix, predictions_kept, feedback_kept)

    async def close(self) -> None:
        """Closes the connections."""
        await self._redis.aclose()

    async def read_states(self, keys: Sequence[ContextKey]) -> list[State]:
        """The states of contexts, in one round trip; one that nothing was learned in has an empty state."""
        with unavailable_if_redis_fails():
            return await read_states(self._redis, self._keys, keys)

    async def contexts(self, application: str, registration: int, start: int = 0, count: int = 1_000) -> list[str]:
        """The contexts of an application that something was learned in, the latest first, from number `start`."""
        with unavailable_if_redis_fails():
            key = self._keys.contexts(application, registration)
            return [str(context) for context in await self._redis.zrevrange(key, start, start + count - 1)]

    async def record(self, predictions: Sequence[Recorded]) -> Counter[str]:
        """Keeps predictions for their feedback, for as long as their application's feedback window.

        Those of applications that are not registered are left out. Recording the same again changes nothing.

        Returns:
            How many older predictions of each application made way though their feedback could still have come.
        """
        with unavailable_if_redis_fails():
            return await self._predictions.record(predictions)

    async def join(self, queries: Sequence[QueryKey]) -> list[Recorded | None]:
        """The recorded predictions, in one round trip; None for those that are not, or no longer, recorded."""
        with unavailable_if_redis_fails():
            return await self._predictions.join(queries)

    async def learn(self, lessons: Sequence[Lesson]) -> list[Outcome]:
        """Learns lessons of which all have the same `step`.

        What adds up is learned whoever else learns in the same contexts. Where it does not, the functions are called
        again whenever somebody else has changed the state meanwhile.
        """
        additions = [lesson for lesson in lessons if isinstance(lesson, Addition)]
        revisions = [lesson for lesson in lessons if isinstance(lesson, Revision)]
        if additions and revisions:
            raise ValueError("These lessons are learned in several steps")
        with unavailable_if_redis_fails():
            if revisions:
                return await self._revisions.learn(revisions)
            return await self._additions.learn(additions)

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
        with unavailable_if_redis_fails():
            return await read_events(self._redis, self._keys, application, registration, after, count)

    async def delete_context(self, key: ContextKey) -> bool:
        """Forgets a context: its state, the predictions that await feedback in it, and its events.

        It is forgotten entirely when this returns, but for the memory of query services: feedback on a prediction of
        the last seconds may begin it anew.

        Returns:
            Whether it had a state.
        """
        with unavailable_if_redis_fails():
            return await self._erasure.context(key)

    async def delete_application(self, application: str, registration: int) -> None:
        """Forgets all that was recorded and learned for an application whose record is deleted.

        Its record must be deleted first: from then on, nothing is recorded or learned for it, whoever tries.
        """
        with unavailable_if_redis_fails():
            await self._erasure.application(application, registration)
