"""Names: of models, on the way to a host name, a directory or an image tag, of input types, and of variables."""

import re
from collections.abc import Mapping

from clipper_admin.exceptions import ClipperException

# What register_model stores for a model whose containers somebody else starts.
NO_CONTAINER = "NO_CONTAINER"
# The batch size that stands for "adapt it to the latency objective".
ADAPTIVE_BATCH_SIZE = -1

_DNS_1123 = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?\Z", re.ASCII)
_RULE = (
    "must be a valid DNS-1123  subdomain. It must consist of lower case alphanumeric characters, '-' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    f"'{_DNS_1123.pattern}')"
)

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z", re.ASCII)
# By them the container is set up, and finds Python and its own packages.
_CONTAINERS_PREFIX = "CLIPPER_"
_CONTAINERS_VARIABLES = ("HOME", "PATH", "PYTHONHOME", "PYTHONPATH")

_ALIASES = {
    alias: name
    for name, aliases in {
        "bytes": ("byte", "b"),
        "integers": ("ints", "integer", "int", "i"),
        "floats": ("float", "f"),
        "doubles": ("double", "d"),
        "strings": ("string", "str", "strs", "s"),
    }.items()
    for alias in aliases
}


def check_model_name(name: str) -> str:
    """Returns `name` if a model can be deployed under it.

    Raises:
        ClipperException: it cannot: only lower case letters, digits and "-" may be used.
    """
    return _check("a model name", name)


def check_model_version(version: object) -> str:
    """Returns `version` as text if a model can be deployed as it.

    Raises:
        ClipperException: it cannot: only lower case letters, digits and "-" may be used.
    """
    return _check("a model version", str(version))


def check_variables(variables: Mapping[str, str]) -> dict[str, str]:
    """Returns environment variables by name if a model can have them.

    Raises:
        ClipperException: one is the container's own, or none at all.
    """
    for name, value in variables.items():
        if not isinstance(name, str) or not _VARIABLE.match(name):
            raise ClipperException(
                f"{name!r} in env cannot name an environment variable: letters, digits and '_' can, but for a digit at "
                "the beginning"
            )
        if name.startswith(_CONTAINERS_PREFIX) or name in _CONTAINERS_VARIABLES:
            raise ClipperException(
                f"{name} in env belongs to the container, as do {', '.join(_CONTAINERS_VARIABLES)} and all that begin "
                f"with {_CONTAINERS_PREFIX}; give the model's variable another name"
            )
        if not isinstance(value, str) or "\0" in value:
            raise ClipperException(f"The value of {name} in env must be a str without NUL, not {value!r:.100}")
    return dict(variables)


def model_id(name: str, version: object) -> str:
    """How a model version is written: "name:version"."""
    return f"{name}:{version}"


def input_type_name(name: str) -> str:
    """What an input type is registered as that may be given by an alias."""
    return _ALIASES.get(name, name)


def _check(kind: str, text: str) -> str:
    if not _DNS_1123.match(text):
        raise ClipperException(f"Invalid value: {text}: {kind} {_RULE}")
    return text
