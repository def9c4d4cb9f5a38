"""What a selection policy is asked and what it answers.

A policy chooses among the models that an application is linked to, its *arms*, combines what they answer and learns
from feedback. It is pure: what it has learned is a `State` that others keep, one for each context, and chance is handed
in. So it may be shared by threads, and its states by query services.

A state is never changed once it was handed over: policies remember what they derived from one by its identity. A name
that it lacks counts as 0 unless the policy says otherwise.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from random import Random
from typing import ClassVar, NamedTuple

from services.common.policies import MODEL_NAME, Parameter, Parameters, check
from services.common.selection_records import State

# All that who writes a policy needs.
__all__ = [
    "AdditivePolicy",
    "Choice",
    "Combination",
    "Observation",
    "Parameter",
    "Parameters",
    "SelectionPolicy",
    "State",
]


class Choice(NamedTuple):
    """Whom to ask.

    Attributes:
        arms: the arms to ask; at least one.
        probability: that just these were chosen, given the state; 1 when chance had no part in it.
    """

    arms: tuple[str, ...]
    probability: float


class Combination(NamedTuple):
    """The answer made of the arms' outputs.

    Attributes:
        output: the answer.
        confidence: from 0 to 1: how many of the arms agree with it.
    """

    output: str
    confidence: float


class Observation(NamedTuple):
    """What feedback says about one query.

    Attributes:
        losses: from 0 to 1, of each arm that answered.
        probability: that of the choice; 1 when every arm was asked.
        features: the query's input as numbers; empty unless the policy uses them.
        note: what the policy noted with the choice; empty when it was not asked to choose.
        away: the arms that could not be asked then.
    """

    losses: Mapping[str, float]
    probability: float = 1.0
    features: Sequence[float] = ()
    note: Sequence[float] = ()
    away: Collection[str] = ()


class SelectionPolicy(ABC):
    """Chooses, combines and learns.

    Arms are given to each method, as models are linked and unlinked at any time and some may have no replica that could
    answer: they are the names of the models, in a fixed order, at least one.

    Args:
        parameters: values for some of PARAMETERS; the others keep their defaults.
        combine: how an ensemble combines outputs, one of names.COMBINATIONS.

    Attributes:
        PARAMETERS: what may be set, by name.
        additive: whether observations change the state by adding to it, so that their order does not matter; only a
            subclass of AdditivePolicy may say so.
        uses_features: whether it looks at inputs; then they must be numbers.
        asks_all: whether every arm is asked for every query.
        parameters: the values in force.
        combination: `combine`.

    Raises:
        InvalidInput: a parameter is unknown or out of its range.
    """

    PARAMETERS: ClassVar[Parameters] = {}
    additive: ClassVar[bool] = False
    uses_features: ClassVar[bool] = False
    asks_all: ClassVar[bool] = False

    def __init__(self, parameters: Mapping[str, float], combine: str = "vote") -> None:
        check(self.PARAMETERS, parameters)
        defaults = {name: known.default for name, known in self.PARAMETERS.items() if name != MODEL_NAME}
        self.parameters = defaults | dict(parameters)
        self.combination = combine

    def init(self, state: State, arms: Sequence[str]) -> State:
        """What `state` lacks for these arms: of a new context everything, otherwise what new arms start with."""
        return {}

    def begin(self, common: State, arms: Sequence[str]) -> State:
        """What a context of its own starts with, where so much was learned of those without one; before `init`."""
        return {}

    def note(self, state: State) -> Sequence[float]:
        """What is to come back with the feedback on a choice that is made in this state."""
        return ()

    @abstractmethod
    def select(self, state: State, arms: Sequence[str], features: Sequence[float], random: Random) -> Choice:
        """Chooses whom to ask.

        Args:
            state: what was learned.
            arms: whom it may ask.
            features: the input as numbers; empty unless the policy uses them.
            random: the only chance it may use.
        """

    def combine(self, state: State, arms: Sequence[str], outputs: Mapping[str, str]) -> Combination:
        """Makes one answer of `outputs`: of the arms that answered in time, at least one.

        Unless a policy says otherwise there is only one.
        """
        return Combination(next(iter(outputs.values())), 1.0)

    @abstractmethod
    def observe(self, state: State, arms: Sequence[str], observation: Observation) -> State:
        """The whole state after an observation."""

    @abstractmethod
    def weights(self, state: State, arms: Sequence[str]) -> Mapping[str, float]:
        """How much it relies on each arm, for people to look at; they sum to 1."""


class AdditivePolicy(SelectionPolicy):
    """A policy whose observations add to the state, so that many may learn at once and none is lost."""

    additive = True

    @abstractmethod
    def increments(self, arms: Sequence[str], observation: Observation) -> Mapping[str, float]:
        """What an observation adds to the state, by name; whatever the state is."""

    def observe(self, state: State, arms: Sequence[str], observation: Observation) -> State:
        """The state, completed by `init`, with the increments added."""
        after = {**state, **self.init(state, arms)}
        for name, increment in self.increments(arms, observation).items():
            after[name] = after.get(name, 0.0) + increment
        return after
