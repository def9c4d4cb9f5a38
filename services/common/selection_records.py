"""What the selection layer keeps of a context and of a prediction, as plain data."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

# What a policy has learned in one context, by name; never changed once it was handed over.
State = Mapping[str, float]
NOTHING: State = MappingProxyType({})


class ContextKey(NamedTuple):
    """Whose state it is.

    Attributes:
        application: the application's name.
        registration: the revision that registered it; one that is registered again starts afresh.
        context: the user or session; "" is the state of those without one.
    """

    application: str
    registration: int
    context: str


class PredictionRecord(NamedTuple):
    """A prediction, as far as feedback needs it.

    Attributes:
        key: the context that it was made in.
        query_id: its id.
        probability: of having chosen just these arms.
        outputs: by arm, of those that answered in time.
        output: what was answered.
        is_default: whether that was the default output.
        chosen: the arms that were asked.
        features: what the policy saw of the input; empty unless it uses them.
        note: what the policy wants to be told again with the feedback, in numbers.
        away: the arms that could not be asked.
    """

    key: ContextKey
    query_id: int
    probability: float
    outputs: Mapping[str, str]
    output: str
    is_default: bool
    chosen: tuple[str, ...]
    features: Sequence[float] = ()
    note: Sequence[float] = ()
    away: tuple[str, ...] = ()


class QueryKey(NamedTuple):
    """Which prediction.

    Attributes:
        application: the name of the application that made it.
        registration: the revision that registered that.
        query_id: its id.
    """

    application: str
    registration: int
    query_id: int


class Recorded(NamedTuple):
    """A prediction as it was recorded.

    Attributes:
        prediction: the prediction.
        at_ms: when, in Unix time.
    """

    prediction: PredictionRecord
    at_ms: int
