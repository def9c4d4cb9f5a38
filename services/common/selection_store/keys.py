"""The selection layer's keys in Redis; what lies there is told by the package."""

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
        self.applications = f"{prefix}:{Kind.APPLICATION}"

    def context(self, key: ContextKey) -> str:
        """A context's state."""
        return f"{self._prefix}:selection:{key.application}:{key.registration}:{key.context}"

    def contexts(self, application: str, registration: int) -> str:
        """The contexts of an application."""
        return f"{self._prefix}:selection_contexts:{application}:{registration}"

    def recordings(self, application: str, registration: int) -> str:
        """What the keys that tell when predictions were recorded begin with; scripts.py completes them."""
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
