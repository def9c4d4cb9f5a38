"""Names: what may be called what, and the words that the contract fixes."""

import re
from collections.abc import Sequence
from enum import StrEnum

from services.common.errors import InvalidInput

QUERY_SERVICE = "clipper.v1.QueryService"
MANAGEMENT_SERVICE = "clipper.v1.ManagementService"
MODEL_CONTAINER_SERVICE = "clipper.v1.ModelContainerService"
# No service of the contract: under this name a query service's health tells of its store.
STORE = "clipper.v1.Store"

ADAPTIVE_BATCH_SIZE = -1
NO_CONTAINER = "NO_CONTAINER"

# From the one that is served first to the one that is served last.
PRIORITIES = ("high", "normal", "low")
BATCHING_POLICIES = ("fixed", "aimd", "quantile", "adaptive")

# The selection policy of applications that have one model.
SINGLE = "single"
SELECTION_POLICY_GROUP = "clipper.selection_policies"
LOSSES = ("zero_one", "squared", "absolute")
# How the outputs of several models become one.
COMBINATIONS = ("vote", "average")
# What a missing value among floats or doubles is: a bad request, or NaN.
MISSING = ("error", "nan")

# A name is a path segment, part of a Redis key and a metric label, so it stays within what all three take unescaped.
_NAME = re.compile(r"[A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?", re.ASCII)
_LONGEST_NAME = 255
_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_CLASS = re.compile(rf"(?P<module>{_MODULE.pattern}):[^\W\d]\w*")
_POLICY_PREFIXES = "CLIPPER_POLICY_PREFIXES"


class InputType(StrEnum):
    """What an application accepts and a model takes."""

    BYTES = "bytes"
    INTS = "integers"
    FLOATS = "floats"
    DOUBLES = "doubles"
    STRINGS = "strings"


_ALIASES = {
    InputType.BYTES: ("bytes", "byte", "b"),
    InputType.INTS: ("integers", "ints", "integer", "int", "i"),
    InputType.FLOATS: ("floats", "float", "f"),
    InputType.DOUBLES: ("doubles", "double", "d"),
    InputType.STRINGS: ("strings", "string", "str", "strs", "s"),
}
_BY_ALIAS = {alias: input_type for input_type, aliases in _ALIASES.items() for alias in aliases}


def parse_input_type(text: str) -> InputType:
    """Resolves an input type's name or alias.

    Raises:
        InvalidInput: `text` is neither.
    """
    try:
        return _BY_ALIAS[text.lower()]
    except KeyError:
        known = ", ".join(f"'{input_type}'" for input_type in InputType)
        raise InvalidInput(f"Invalid input type '{text}'. It must be one of {known} or an alias of one") from None


def check_name(kind: str, name: str) -> str:
    """Returns `name` if it can name a `kind` ("application name", "model name", "model version").

    Raises:
        InvalidInput: it cannot.
    """
    if len(name) > _LONGEST_NAME or not _NAME.fullmatch(name):
        raise InvalidInput(
            f"Invalid {kind} supplied: '{name[:_LONGEST_NAME]}'. It must be 1 to {_LONGEST_NAME} letters, digits, "
            "'-', '_' and '.', starting and ending with a letter or a digit"
        )
    return name


def check_label(label: str) -> str:
    """Returns `label` if it can label a model version.

    Raises:
        InvalidInput: it contains a separator.
    """
    if "," in label or ":" in label:
        raise InvalidInput(f"Invalid label supplied: {label}. Contains one of: ',', ':'")
    return label


def is_class_path(text: str) -> bool:
    """Whether `text` is written "package.module:Class"."""
    return bool(_CLASS.fullmatch(text))


def check_policy_path(path: str, prefixes: Sequence[str]) -> None:
    """Checks that a selection policy may be named by its path: that its module is one of `prefixes`, or under one.

    Raises:
        InvalidInput: it may not.
    """
    found = _CLASS.fullmatch(path)
    module = found["module"] if found else ""
    if not any(module == prefix or module.startswith(f"{prefix}.") for prefix in prefixes):
        allowed = ", ".join(f"'{prefix}'" for prefix in prefixes) or "none"
        raise InvalidInput(
            f"The selection policy '{path}' is not allowed. A class may be named by its path if {_POLICY_PREFIXES}, a "
            "setting of the management and the query services, lists its module or a package that this is in; now it "
            f"lists {allowed}. Or install it with both as an entry point of the group '{SELECTION_POLICY_GROUP}'"
        )


def check_policy_prefixes(prefixes: Sequence[str]) -> None:
    """Checks the setting against which paths are checked.

    Raises:
        InvalidInput: one is no name of a module.
    """
    for prefix in prefixes:
        if not _MODULE.fullmatch(prefix):
            raise InvalidInput(
                f"{_POLICY_PREFIXES} must list names of modules or packages, separated by commas, such as "
                f"'mypackage,other.policies', but one is '{prefix}'"
            )
