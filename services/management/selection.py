"""What an application may ask of the selection layer: its policy, its loss, and for how long things are kept.

A wrong option is an error here, at registration, and never later. Only a policy of the user's own is taken at its word,
if it is one that the query services may import: it runs there, and is never imported here.
"""

import importlib.metadata
import math
from collections.abc import Sequence

from services.common.errors import InvalidInput
from services.common.names import (
    COMBINATIONS,
    LOSSES,
    SELECTION_POLICY_GROUP,
    InputType,
    check_policy_path,
    is_class_path,
)
from services.common.policies import BUILT_IN
from services.common.policies import check as check_parameters
from services.common.records import Application
from services.management import limits

# Far beyond what anybody waits for, and within what Redis can count in milliseconds.
_LONGEST_S = 10 * 365 * 86_400


def check(application: Application, policy_prefixes: Sequence[str] = ()) -> None:
    """Checks everything about an application that concerns selection.

    Args:
        application: the application.
        policy_prefixes: a policy may be named by its path if its module is one of these, or under one.

    Raises:
        InvalidInput: something is not valid.
    """
    _check_policy(application, policy_prefixes)
    if not 0.0 <= application.confidence_threshold <= 1.0:
        raise InvalidInput(
            f"The confidence threshold must be between 0 and 1, but it is {application.confidence_threshold}"
        )
    _check_word("loss", application.loss, LOSSES)
    if not 0.0 < application.loss_scale < math.inf:
        raise InvalidInput(f"The loss scale must be positive and finite, but it is {application.loss_scale}")
    _check_duration("feedback window", application.feedback_window_s)
    _check_duration("time to live of a context", application.context_ttl_s)
    _check_word("combination", application.combine, COMBINATIONS)


def _check_policy(application: Application, policy_prefixes: Sequence[str]) -> None:
    policy = application.selection_policy
    limits.check_length("selection policy", policy, limits.LONGEST_POLICY)
    limits.check_count("parameters of a policy", len(application.policy_parameters), limits.MOST_PARAMETERS)
    for name, value in application.policy_parameters:
        limits.check_length("policy's parameter", name, limits.LONGEST_PARAMETER)
        if not math.isfinite(value):
            raise InvalidInput(
                f"The parameter '{name}' of a selection policy must be a finite number, but it is {value}"
            )
    if policy in BUILT_IN:
        check_parameters(BUILT_IN[policy].parameters, dict(application.policy_parameters))
        _check_inputs(application)
    elif is_class_path(policy):
        check_policy_path(policy, policy_prefixes)
    elif not _is_installed(policy):
        known = ", ".join(f"'{name}'" for name in BUILT_IN)
        raise InvalidInput(
            f"Invalid selection policy '{policy}'. It must be one of {known}, the name of an installed entry point of "
            f"the group '{SELECTION_POLICY_GROUP}', or a class as 'package.module:Class'"
        )


def _check_inputs(application: Application) -> None:
    if BUILT_IN[application.selection_policy].uses_features and application.input_type is InputType.STRINGS:
        raise InvalidInput(
            f"The selection policy '{application.selection_policy}' looks at inputs as numbers, but the application "
            f"takes '{application.input_type}'"
        )


def _is_installed(policy: str) -> bool:
    return bool(importlib.metadata.entry_points(group=SELECTION_POLICY_GROUP, name=policy))


def _check_word(kind: str, word: str, known: Sequence[str]) -> None:
    if word not in known:
        raise InvalidInput(f"Invalid {kind} '{word}'. It must be one of {', '.join(map(repr, known))}")


def _check_duration(kind: str, seconds: int) -> None:
    if not 0 < seconds <= _LONGEST_S:
        raise InvalidInput(f"The {kind} must be between 1 and {_LONGEST_S} seconds, but it is {seconds}")
