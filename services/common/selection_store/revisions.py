"""Learning where observations do not add up: read, change, and write if nobody else has written meanwhile."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from services.common.lessons import FeedbackStatus, Outcome, Revision
from services.common.selection_records import State
from services.common.selection_store import codec, scripts
from services.common.selection_store.keys import Keys
from services.common.selection_store.plan import Plan
from services.common.selection_store.states import as_state, finite

if TYPE_CHECKING:
    import redis.asyncio


class Revisions:
    """Learns revisions."""

    def __init__(self, client: "redis.asyncio.Redis", keys: Keys, events_kept: int) -> None:
        self._keys = keys
        self._events_kept = events_kept
        self._script = client.register_script(scripts.REVISE)

    async def learn(self, revisions: Sequence[Revision]) -> list[Outcome]:
        """Learns all of them, which are of one context, at once."""
        attempt = _Attempt(self._keys, revisions)
        while True:
            code, learned, pairs = await attempt.carry_out(self._script, attempt.document, self._events_kept)
            if code != scripts.CHANGED:
                return attempt.outcomes(FeedbackStatus(code))
            attempt = _Attempt(self._keys, revisions)
            attempt.revise(pairs, learned)
            if not attempt.lines:
                return attempt.outcomes(FeedbackStatus.LEARNED)


class _Attempt(Plan):
    """One attempt at writing what revisions make of a state; at first it only reads.

    Attributes:
        document: tells the script.
    """

    def __init__(self, keys: Keys, revisions: Sequence[Revision]) -> None:
        super().__init__(keys)
        self._revisions = revisions
        self._outcomes: list[Outcome | None] = [None] * len(revisions)
        self._after: State = {}
        self._lessons = [self.marker(revision.key, revision.once) | {"is_new": False} for revision in revisions]
        self.document: dict[str, object] = {
            "context": self.context(revisions[0].key),
            "lessons": self._lessons,
            # No state has as many names, so nothing is written.
            "names": -1,
        }

    def revise(self, pairs: Sequence[str], learned: Sequence[int]) -> None:
        """Makes the state afterwards of the one that was found, leaving out what had been learned."""
        self._after = as_state(pairs)
        taken: set[int | str] = set()
        for number, revision in enumerate(self._revisions):
            if learned[number] or revision.once in taken:
                self._outcomes[number] = Outcome(FeedbackStatus.ALREADY_LEARNED)
                continue
            try:
                self._after = finite(revision.observe(self._after))
            # The function is a policy's, which may be anybody's.
            except Exception as error:
                self._outcomes[number] = Outcome(FeedbackStatus.FAILED, error=error)
                continue
            if revision.once is not None:
                taken.add(revision.once)
            self._lessons[number]["is_new"] = True
            self.lines.append(codec.encode_event(revision.event))
        self.document |= {
            "names": len(pairs) // 2,
            "before": dict(zip(pairs[::2], pairs[1::2], strict=True)),
            "after": {name: repr(value) for name, value in self._after.items()},
        }

    def outcomes(self, status: FeedbackStatus) -> list[Outcome]:
        """What became of the revisions, once the script has told what became of the new ones."""
        if status is FeedbackStatus.UNKNOWN_QUERY:
            return [Outcome(status)] * len(self._revisions)
        return [
            outcome if outcome.error else outcome._replace(state=self._after)
            for outcome in (outcome or Outcome(status) for outcome in self._outcomes)
        ]
