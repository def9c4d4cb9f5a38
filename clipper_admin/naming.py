"""Names: of models, on the way to a host name, a directory or an image tag, of inputs and their types, of variables."""

import re
from collections.abc import Iterable, Mapping

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

_NUMBERS = ("integers", "floats", "doubles")
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


def check_model_id(name: str, version: object) -> tuple[str, str | None]:
    """Returns a name and a version, as text, if a model can be deployed as it; None, which is the next version, stays.

    Raises:
        ClipperException: it cannot, for the name or the version.
    """
    return check_model_name(name), None if version is None else check_model_version(version)


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


def check_input_names(names: Iterable[str], input_type: str) -> tuple[str, ...]:
    """Returns what the elements of a model's inputs are called if they can have names.

    Raises:
        ClipperException: they cannot: only numbers have names, which are texts.
    """
    if isinstance(names, str):
        raise ClipperException(f"input_names must be a list of names; one name is input_names=[{names!r}]")
    checked = tuple(names)
    for name in checked:
        if not isinstance(name, str):
            raise ClipperException(f"A name in input_names must be a str, not {name!r:.100}")
    if checked and input_type_name(input_type) not in _NUMBERS:
        raise ClipperException(f"input_names are for {', '.join(_NUMBERS)}, and the model takes '{input_type}'")
    return checked


def model_id(name: str, version: object) -> str:
    """How a model version is written: "name:version"."""
    return f"{name}:{version}"


def next_version(versions: Iterable[str]) -> str:
    """The number after the largest among these versions, "1" after none; what is no whole number does not count."""
    return str(1 + max((int(version) for version in versions if version.isdecimal()), default=0))


def input_type_name(name: str) -> str:
    """What an input type is registered as that may be given by an alias."""
    return _ALIASES.get(name, name)


def _check(kind: str, text: str) -> str:
    if not _DNS_1123.match(text):
        raise ClipperException(f"Invalid value: {text}: {kind} {_RULE}")
    return text
