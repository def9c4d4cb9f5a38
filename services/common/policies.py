"""The built-in selection policies: their names, their parameters, and whether they look at inputs.

Management checks registrations against this table, so that a wrong one is an error there and never later; the query
service's classes, which management does not know, take what they have from here.
"""

from collections.abc import Mapping
from typing import NamedTuple

from services.common.errors import InvalidInput

# Stands for the name of any model.
MODEL_NAME = "<model>"


class Parameter(NamedTuple):
    """A number that an application may set: its default, and the range it must be in, bounds included."""

    default: float
    lowest: float
    highest: float


Parameters = Mapping[str, Parameter]


class BuiltIn(NamedTuple):
    """What is known of a policy without its class.

    Attributes:
        parameters: what may be set.
        uses_features: whether it looks at inputs; then they must be numbers.
    """

    parameters: Parameters
    uses_features: bool = False


_LEARNING_RATE = Parameter(0.1, 1e-6, 10.0)
# Numbers this close to the average round to the same whole number.
_TOLERANCE = Parameter(0.5, 0.0, 1e300)

# Others are entry points of the group, or classes as "package.module:Class" that check_policy_path allows.
BUILT_IN: Mapping[str, BuiltIn] = {
    "single": BuiltIn({}),
    "static": BuiltIn({MODEL_NAME: Parameter(1.0, 0.0, 1e9)}),
    "epsilon_greedy": BuiltIn({"epsilon": Parameter(0.1, 0.0, 1.0)}),
    "ucb1": BuiltIn({"exploration": Parameter(1.0, 0.0, 10.0)}),
    "thompson": BuiltIn({}),
    "discounted_thompson": BuiltIn({"memory": Parameter(1_000.0, 1.0, 1e9)}),
    "exp3": BuiltIn({"eta": _LEARNING_RATE, "gamma": Parameter(0.002, 0.0, 1.0)}),
    "exp4": BuiltIn({"eta": _LEARNING_RATE, "share": Parameter(0.0002, 1e-9, 1.0), "tolerance": _TOLERANCE}),
    "majority": BuiltIn({}),
    "average": BuiltIn({"tolerance": _TOLERANCE}),
    "linucb": BuiltIn({"alpha": Parameter(1.0, 0.0, 100.0)}, uses_features=True),
}


def check(known: Parameters, given: Mapping[str, float]) -> None:
    """Checks the parameters that a policy is given against those that it has.

    Raises:
        InvalidInput: it has no such parameter, or the value is out of range.
    """
    for name, value in given.items():
        parameter = known.get(name) or known.get(MODEL_NAME)
        if parameter is None:
            takes = ", ".join(f"'{each}'" for each in known) or "none"
            raise InvalidInput(f"Unknown parameter '{name}' of the selection policy. It takes: {takes}")
        if not parameter.lowest <= value <= parameter.highest:
            raise InvalidInput(
                f"Invalid value {value} of the parameter '{name}'. "
                f"It must be from {parameter.lowest:g} to {parameter.highest:g}"
            )
