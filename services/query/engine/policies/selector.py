"""How an application chooses among its models: its policy, and the arms that it has."""

from collections.abc import Mapping, Sequence

import numpy as np

from services.common import tensors
from services.common.errors import InvalidInput
from services.common.names import InputType
from services.common.records import Application
from services.common.selection_records import NOTHING, ContextKey
from services.query.engine.policies import guard
from services.query.engine.policies.features import project
from services.query.engine.policies.policy import Combination, SelectionPolicy, State

# It becomes part of a key in Redis.
LONGEST_CONTEXT = 1_024


class Selector:
    """An application's choice, under one configuration.

    Attributes:
        application: its record.
        policy: its policy.
        arms: the linked models, by name, whether or not they can answer.
        combines: whether its answers are made of several outputs, or otherwise than as one model gave them.
        tells_confidence: whether the confidence is part of its answers.
    """

    __slots__ = ("_key_of_nobody", "application", "arms", "combines", "policy", "tells_confidence")

    def __init__(self, application: Application, policy: SelectionPolicy) -> None:
        self.application = application
        self.policy = policy
        self.arms = tuple(sorted(application.linked_models))
        self._key_of_nobody = ContextKey(application.name, application.registration, "")
        self.combines = policy.asks_all or type(policy).combine is not SelectionPolicy.combine
        self.tells_confidence = self.combines or application.confidence_threshold > 0.0

    def key(self, context: str) -> ContextKey:
        """Whose state decides for a context; empty for nobody in particular.

        Raises:
            InvalidInput: it is too long.
        """
        if not context:
            return self._key_of_nobody
        if len(context) > LONGEST_CONTEXT:
            raise InvalidInput(f"The context has more than {LONGEST_CONTEXT} characters")
        return ContextKey(self.application.name, self.application.registration, context)

    def begin(self, common: State) -> State:
        """What a new context starts with where `common` was learned of those without one."""
        if not (self.arms and common):
            return NOTHING
        try:
            return guard.begin(self.policy, common, self.arms)
        # It starts from nothing then.
        except Exception:
            return NOTHING

    def complete(self, state: State) -> State:
        """A state with all that the policy wants in it for the arms."""
        if not self.arms:
            return state
        try:
            missing = guard.init(self.policy, state, self.arms)
        # It will fail to select as well, and be answered for then.
        except Exception:
            missing = {}
        return {**state, **missing} if missing else state

    def features(self, data: bytes) -> Sequence[float]:
        """An input as the policy sees it, in a few numbers; empty unless the policy looks at inputs."""
        if not self.policy.uses_features:
            return ()
        input_type = self.application.input_type
        if input_type is InputType.STRINGS:
            return ()
        elements = len(data) // tensors.ELEMENT_BYTES[input_type]
        rows = np.asarray(tensors.model_inputs(input_type, data, [elements]), np.float64)
        features: list[float] = project(rows[0]).tolist()
        return features

    def weights(self, state: State) -> Mapping[str, float]:
        """How much the policy relies on each arm; nothing where it fails to tell."""
        try:
            return guard.weights(self.policy, state, self.arms) if self.arms else {}
        except Exception:
            return {}

    def combine(self, state: State, outputs: Mapping[str, str]) -> Combination:
        """The answer made of the outputs of those who gave one."""
        return guard.combine(self.policy, state, self.arms, outputs)
